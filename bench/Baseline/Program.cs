using Sluice.Bench.Baseline;

// What Sluice is compared with, each as good as its kind can be:
//   bare          an endpoint that only parses and answers: the ceiling of any endpoint on this machine
//   textbook      a flash sale with one SQL transaction per order
//   insert-limit  how fast SQLite takes batched rows when nobody computes anything: the ceiling of a drain
return args.FirstOrDefault() switch
{
    "bare" => await Bare.RunAsync(args[1..]),
    "textbook" => await Textbook.RunAsync(args[1..]),
    "insert-limit" => InsertLimit.Run(args[1..]),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        sluice-baseline bare --urls http://127.0.0.1:<port>
        sluice-baseline textbook --urls http://127.0.0.1:<port> --data <folder>
        sluice-baseline insert-limit --data <folder> [--rows 300000] [--batch 500] [--users scattered|ordered]
        """);
    return 2;
}
