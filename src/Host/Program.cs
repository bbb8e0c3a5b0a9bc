using Sluice.Host;

return await Commands.RunAsync(args);
