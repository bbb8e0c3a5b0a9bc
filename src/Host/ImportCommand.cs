using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsvHelper;
using CsvHelper.Configuration;
using Sluice.Platform.Hosting;
using Spectre.Console;

namespace Sluice.Host;

/// <param name="File">The file, or <c>-</c> for standard input.</param>
/// <param name="Format"><c>csv</c>, <c>json</c>, <c>jsonl</c>, or null: by the file's ending.</param>
/// <param name="Errors">Where every row that was not taken is written, or null.</param>
internal sealed record ImportArguments(string File, string? Url, string? ApiKeyFile, string? Format, char? Separator, string? Currency, bool IsDryRun, string? Errors, bool Json);

/// <summary><c>sluice import</c>: products out of a file, through the API of a running server. A row that is bad holds up no other one; what is in stays in, and the same file again changes nothing.</summary>
internal static class ImportCommand
{
    private const int BadShown = 20, BadInJson = 1_000, Stopped = 130, RowsPerLine = 50_000;

    public static async Task<int> RunAsync(List<KeyValuePair<string, string?>> overrides, ImportArguments arguments, CancellationToken cancel)
    {
        var data = Node.Load(overrides).Get<NodeOptions>().Data;
        var url = arguments.Url ?? (DataFolder.IsOwned(data) ? DataFolder.OwnerOf(data) : null)
            ?? throw new DependencyUnavailableException("server", $"no server runs on {Path.GetFullPath(data)}. Start one with 'sluice serve', or name it: --url http://…");
        using var shop = ShopClient.Open(url, arguments.ApiKeyFile ?? Path.Combine(data, "admin.key"));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);

        // The first Ctrl-C ends the reading and says how far it came; the second one ends the program as usual.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, StopOnce);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, StopOnce);
        try
        {
            var format = arguments.Format ?? Path.GetExtension(arguments.File).ToLowerInvariant() switch
            {
                ".csv" or ".tsv" or ".txt" => "csv", ".json" => "json", ".jsonl" or ".ndjson" => "jsonl",
                _ => throw new FileUnreadableException($"{arguments.File}: say with --format whether it is csv, json or jsonl."),
            };
            await using var stream = arguments.File == "-" ? Console.OpenStandardInput() : OpenFile(arguments.File);
            await using var errors = arguments.Errors is null ? null : new StreamWriter(OpenErrors(arguments.Errors));
            using var bad = new BadRows(errors);
            return await ImportAsync(arguments, shop, format, stream, bad, stop.Token);
        }
        catch (FileUnreadableException e)
        {
            await Console.Error.WriteLineAsync($"sluice: {e.Message}");
            return Commands.WrongArguments;
        }

        void StopOnce(PosixSignalContext context)
        {
            context.Cancel = !stop.IsCancellationRequested;
            stop.Cancel();
        }
    }

    private static async Task<int> ImportAsync(ImportArguments arguments, ShopClient shop, string format, Stream stream, BadRows bad, CancellationToken cancel)
    {
        var sender = new ImportSender(shop, arguments.IsDryRun, bad);
        var started = TimeProvider.System.GetTimestamp();
        var exit = Commands.Well;
        try
        {
            using var reader = ImportFile.Open(stream, cancel);
            var rows = ImportFile.ReadAsync(reader, format, arguments.Separator, arguments.Currency, cancel);
            var terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
            if (!terminal.Profile.Capabilities.Interactive)
            {
                var told = 0L;
                await sender.SendAsync(rows, () =>
                {
                    if (sender.Rows / RowsPerLine > told)
                    {
                        told = sender.Rows / RowsPerLine;
                        Console.Error.WriteLine($"{sender.Rows:N0} rows, {bad.Count:N0} bad");
                    }
                }, cancel);
            }
            else
            {
                await terminal.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).StartAsync(async progress =>
                {
                    var bar = progress.AddTask("Importing", maxValue: stream.CanSeek ? Math.Max(1, stream.Length) : 1);
                    bar.IsIndeterminate = !stream.CanSeek;
                    await sender.SendAsync(rows, () =>
                    {
                        bar.Description = $"{sender.Rows:N0} rows, {bad.Count:N0} bad";
                        bar.Value = stream.CanSeek ? stream.Position : 0;
                    }, cancel);
                });
            }
        }
        catch (FileUnreadableException e)
        {
            await Console.Error.WriteLineAsync($"sluice: {Plain(e.Message)}");
            exit = Commands.WrongArguments;
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync("sluice: stopped. What is counted below is in, and perhaps one call more; the same file again goes on, and changes nothing twice.");
            exit = Stopped;
        }
        catch (DependencyUnavailableException e)
        {
            await Console.Error.WriteLineAsync($"sluice: {Plain(e.Message)} What is counted below is in; the same file again goes on, and changes nothing twice.");
            exit = Commands.Unreachable;
        }

        exit = exit == Commands.Well && bad.Count > 0 ? Commands.Broken : exit;
        Tell(arguments, sender, bad, TimeProvider.System.GetElapsedTime(started), exit);
        return exit;
    }

    private static void Tell(ImportArguments arguments, ImportSender sender, BadRows bad, TimeSpan took, int exit)
    {
        if (arguments.Json)
        {
            Console.WriteLine(new JsonObject
            {
                ["exitCode"] = exit, ["dryRun"] = arguments.IsDryRun, ["rows"] = sender.Rows, ["created"] = sender.Created, ["changed"] = sender.Changed, ["unchanged"] = sender.Unchanged, ["badCount"] = bad.Count,
                ["bad"] = new JsonArray([.. bad.First.Take(BadInJson).Select(row => (JsonNode)new JsonObject { ["line"] = row.Line, ["sku"] = row.Sku, ["field"] = row.Field, ["says"] = row.Says })]),
                ["seconds"] = Math.Round(took.TotalSeconds, 1),
            }.ToJsonString());
            return;
        }

        foreach (var row in bad.First.Take(BadShown))
        {
            Console.Error.WriteLine(Plain($"{row.Line}: {(row.Sku.Length > 0 ? row.Sku + ": " : "")}'{row.Field}' {row.Says}"));
        }

        if (bad.Count > BadShown)
        {
            Console.Error.WriteLine(arguments.Errors is null ? $"and {bad.Count - BadShown:N0} more; --errors bad.csv writes them all" : $"and {bad.Count - BadShown:N0} more in {arguments.Errors}");
        }

        Console.WriteLine(
            $"{sender.Rows:N0} rows: {sender.Created:N0} created, {sender.Changed:N0} changed, {sender.Unchanged:N0} unchanged, {bad.Count:N0} bad, {took.TotalSeconds:N1} s{(arguments.IsDryRun ? " (dry run: nothing was changed)" : "")}");
    }

    // A file may hold what a terminal takes for commands.
    private static string Plain(string text) => string.Concat(text.Select(sign => char.IsControl(sign) ? '\ufffd' : sign));

    private static FileStream OpenFile(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16, useAsync: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FileUnreadableException($"{path} cannot be read: {e.Message}");
        }
    }

    // Shared with nobody, not even with our own reading: the file of products would be emptied before it is read, under whatever name or link it is given here.
    private static FileStream OpenErrors(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FileUnreadableException($"--errors {path} cannot be written, or is the file that is read: {e.Message}");
        }
    }
}

/// <summary>A row that was not taken, and why.</summary>
internal sealed record BadRow(long Line, string Sku, string Field, string Says);

/// <summary>Rows that were not taken: the first ones in memory, all of them in the file that was asked for.</summary>
internal sealed class BadRows : IDisposable
{
    private const int KeptMax = 1_000;

    private readonly CsvWriter? csv;
    private readonly List<BadRow> first = [];

    public BadRows(TextWriter? errors)
    {
        if (errors is not null)
        {
            // Whoever opens it in a spreadsheet reads text, and no formula that the file of products holds.
            csv = new CsvWriter(errors, new CsvConfiguration(CultureInfo.InvariantCulture) { InjectionOptions = InjectionOptions.Escape }, leaveOpen: true);
            Write("line", "sku", "field", "says");
        }
    }

    public long Count { get; private set; }

    public IReadOnlyList<BadRow> First => first;

    public void Add(BadRow row)
    {
        Count++;
        Write($"{row.Line}", row.Sku, row.Field, row.Says);
        if (first.Count < KeptMax)
        {
            first.Add(row);
        }
    }

    public void Dispose() => csv?.Dispose();

    private void Write(params ReadOnlySpan<string> fields)
    {
        foreach (var field in fields)
        {
            csv?.WriteField(field);
        }

        csv?.NextRecord();
    }
}

/// <summary>Sends rows in calls of the API's size, waits where the server says so, and finds the row for which it refuses a whole call.</summary>
internal sealed class ImportSender(ShopClient shop, bool isDryRun, BadRows bad)
{
    // The API's own bounds, the second with room for what is around the rows.
    private const int RowsPerCall = 200, BytesPerCall = 60_000, TriesMax = 10;

    private static readonly TimeSpan PauseMax = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, long> seen = new(StringComparer.Ordinal);

    public long Rows { get; private set; }

    public long Created { get; private set; }

    public long Changed { get; private set; }

    public long Unchanged { get; private set; }

    public async Task SendAsync(IAsyncEnumerable<FileRow> rows, Action sent, CancellationToken cancel)
    {
        List<FileRow> batch = [];
        var bytes = 0;
        try
        {
            await foreach (var row in rows)
            {
                Rows++;
                if (Refuse(row) is { } refused)
                {
                    bad.Add(refused);
                    continue;
                }

                var size = JsonSerializer.SerializeToUtf8Bytes(row.Product).Length + 1;
                if (batch.Count == RowsPerCall || (batch.Count > 0 && bytes + size > BytesPerCall))
                {
                    await FlushAsync();
                }

                batch.Add(row);
                bytes += size;
            }
        }
        catch (FileUnreadableException)
        {
            // What was read before is as good as if the file ended there.
            await FlushAsync();
            throw;
        }

        await FlushAsync();

        async Task FlushAsync()
        {
            var rowsNow = batch;
            (batch, bytes) = ([], 0);
            if (rowsNow.Count > 0)
            {
                await CallAsync(rowsNow, cancel);
                sent();
            }
        }
    }

    // What need not be sent to be known.
    private BadRow? Refuse(FileRow row) =>
        row.Product is null ? new BadRow(row.Line, row.Sku, row.Field, row.Wrong)
        : row.Sku.Length > 0 && !seen.TryAdd(row.Sku, row.Line) ? new BadRow(row.Line, row.Sku, "sku", $"was given before, in line {seen[row.Sku]}")
        : null;

    private async Task CallAsync(List<FileRow> rows, CancellationToken cancel)
    {
        var (status, body) = await AskAsync(rows, cancel);
        if (status == 200)
        {
            if (body["refused"] is null)
            {
                throw new DependencyUnavailableException("server", "It answered 200, and not as a Sluice does. Is --url the shop's?");
            }

            Created += (long)body["created"]!;
            Changed += (long)body["changed"]!;
            Unchanged += (long)body["unchanged"]!;
            foreach (var refused in body["refused"]!.AsArray().GroupBy(refusal => (int)refusal!["row"]!))
            {
                var row = rows[refused.Key];
                bad.Add(new BadRow(row.Line, row.Sku, (string)refused.First()!["field"]!, string.Join("; ", refused.Select((refusal, i) => i == 0 ? (string)refusal!["says"]! : $"'{(string)refusal!["field"]!}' {(string)refusal["says"]!}"))));
            }
        }
        else if (rows.Count == 1)
        {
            // What the server cannot even read: an unknown field, a number in the place of a text.
            bad.Add(new BadRow(rows[0].Line, rows[0].Sku, "row", (string?)body["detail"] ?? $"was answered {status}"));
        }
        else
        {
            await CallAsync(rows[..(rows.Count / 2)], cancel);
            await CallAsync(rows[(rows.Count / 2)..], cancel);
        }
    }

    // 200, or a refusal that is the rows' own fault.
    private async Task<(int Status, JsonNode Body)> AskAsync(List<FileRow> rows, CancellationToken cancel)
    {
        var request = new JsonObject { ["dryRun"] = isDryRun, ["products"] = new JsonArray([.. rows.Select(row => row.Product!.DeepClone())]) };
        for (var tries = 1; ; tries++)
        {
            var pause = TimeSpan.FromMilliseconds(Math.Min(250 << tries, PauseMax.TotalMilliseconds));
            string says;
            try
            {
                var (status, retryAfter, body) = await shop.AskAsync(HttpMethod.Post, "/v1/imports/products", request, cancel);
                if (status is 200 or 400 or 413 or 422)
                {
                    return (status, body);
                }

                says = $"POST /v1/imports/products answered {status}: {(string?)body["detail"]}";
                if (status is not (409 or 429 or >= 500))
                {
                    throw new DependencyUnavailableException("server", says);
                }

                pause = retryAfter ?? pause;
            }
            catch (HttpRequestException e)
            {
                says = e.Message;
            }
            catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
            {
                says = e.Message;
            }

            if (tries == TriesMax)
            {
                throw new DependencyUnavailableException("server", $"asked {TriesMax} times: {says}.");
            }

            await Task.Delay(pause < PauseMax ? pause : PauseMax, TimeProvider.System, cancel);
        }
    }
}
