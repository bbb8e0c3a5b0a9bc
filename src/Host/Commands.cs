using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Sluice.Platform.Hosting;
using Spectre.Console;

namespace Sluice.Host;

/// <summary>The commands of <c>sluice</c>. Exit codes: 0 well, 1 a promise is broken, 2 wrong arguments or settings, 3 an engine or server cannot be reached.</summary>
internal static class Commands
{
    public const int Well = 0, Broken = 1, WrongArguments = 2, Unreachable = 3;

    public static async Task<int> RunAsync(string[] args)
    {
        var data = new Option<string?>("--data") { Description = "Folder of the database, the log and the keys (./data)" };
        var urls = new Option<string?>("--urls") { Description = "Where to listen (http://localhost:8080)" };
        var set = new Option<string[]>("--set") { Description = "Any setting, as Name=value or Section:Name=value; may be repeated", AllowMultipleArgumentsPerToken = false };
        var json = new Option<bool>("--json") { Description = "One JSON object on standard output, nothing else" };

        var seed = new Option<bool>("--demo") { Description = "Seed a small demo shop, let visitors be guests and play the payment provider" };
        var serve = new Command("serve", "Run the server.\n\nExamples:\n  sluice serve\n  sluice serve --urls http://0.0.0.0:8080 --data /var/lib/sluice --set Pools:Durability=Committed") { data, urls, set, seed };
        serve.SetAction((parsed, cancel) => ServeCommand.RunAsync(Overrides(parsed, data, urls, set), parsed.GetValue(seed), cancel));

        var buyers = new Option<int>("--buyers") { Description = "How many people come, 1–1,000,000", DefaultValueFactory = _ => 20_000 };
        var stock = new Option<int>("--stock") { Description = "How many units there are, 1–1,000,000", DefaultValueFactory = _ => 500 };
        var port = new Option<int>("--port") { Description = "Port of the shop on localhost", DefaultValueFactory = _ => 8080 };
        var exit = new Option<bool>("--exit") { Description = "Do not stay open after the sale" };
        Bound(buyers, 1, 1_000_000);
        Bound(stock, 1, 1_000_000);
        Bound(port, 1, 65_535);
        var demo = new Command(
            "demo",
            "Run a real flash sale on this machine, from the first buyer to the certificate.\n\nExamples:\n  sluice demo\n  sluice demo --buyers 100000 --stock 2000 --exit --json\n  sluice demo --cluster") { buyers, stock, port, data, json, exit, set };
        var cluster = new Option<bool>("--cluster") { Description = "In front of the cluster in --data, started first if it is not up; see 'sluice cluster --help'" };
        demo.Options.Add(cluster);
        demo.SetAction((parsed, cancel) =>
        {
            var arguments = new DemoArguments(parsed.GetValue(buyers), parsed.GetValue(stock), parsed.GetValue(port), parsed.GetValue(json), parsed.GetValue(exit));
            return parsed.GetValue(cluster)
                ? ClusterDemo.RunAsync(arguments, parsed.GetValue(data), isPortGiven: parsed.GetResult(port) is { Implicit: false }, parsed.GetValue(set) ?? [], cancel)
                : DemoCommand.RunAsync(arguments, Overrides(parsed, data, null, set), cancel);
        });

        var auditUrl = new Option<string?>("--url") { Description = "Ask the server that runs there; without it, whoever owns the data folder is asked, or the folder itself" };
        var apiKeyFile = new Option<string?>("--api-key-file") { Description = "API key for --url (<data>/admin.key)" };
        var audit = new Command(
            "audit", "Check every pool in Redis and SQL, and say whether its promise holds.\n\nExamples:\n  sluice audit\n  sluice audit --url http://localhost:8080 --json") { data, auditUrl, apiKeyFile, json, set };
        audit.SetAction((parsed, cancel) => AuditCommand.RunAsync(
            Overrides(parsed, data, null, set), parsed.GetValue(auditUrl), parsed.GetValue(apiKeyFile), parsed.GetValue(json), cancel));

        var file = new Argument<FileInfo>("certificate") { Description = "What /v1/pools/{id}/certificate answered" };
        var keys = new Option<FileInfo?>("--keys") { Description = "What /.well-known/sluice-keys answered; without it, the key that the certificate names is taken" };
        var verify = new Command(
            "verify", "Check a certificate offline: signature, wholeness, verdict.\n\nExamples:\n  sluice verify certificate.json\n  sluice verify certificate.json --keys sluice-keys.json") { file, keys };
        verify.SetAction((parsed, cancel) => VerifyCommand.RunAsync(parsed.GetValue(file)!, parsed.GetValue(keys), cancel));

        var checkSql = new Command(
            "check-sql",
            "Say over HTTP whether a SQL server may be written now: 200 or 503. For a proxy that looks for the writer; see deploy/haproxy.\n\nExamples:\n" +
            "  SLUICE__SQL__CONNECTION='Server=127.0.0.1;User ID=check;Password=…;Database=information_schema' sluice check-sql --urls http://10.0.0.21:9201") { urls, set };
        checkSql.SetAction((parsed, cancel) => CheckSqlCommand.RunAsync(Overrides(parsed, null, urls, set), cancel));

        var siteFolder = new Option<string?>("--folder") { Description = "Folder for a web server; 'current' in it is the newest whole site" };
        var publish = new Command(
            "publish",
            "Write the pages and data that everybody sees alike as files, for a web server or a CDN. Once; a server does it by itself when Publish:Folder or Publish:Bucket is set.\n\nExamples:\n" +
            "  sluice publish --folder site\n  SLUICE__PUBLISH__SECRETKEY=… sluice publish --set Publish:Bucket=shop --set Publish:AccessKey=AKIA…") { siteFolder, data, json, set };
        publish.SetAction((parsed, cancel) => PublishCommand.RunAsync(Overrides(parsed, data, null, set), parsed.GetValue(siteFolder), parsed.GetValue(json), cancel));

        var products = new Argument<string>("file") { Description = "CSV, a JSON array, or one JSON object in each line; '-' reads standard input" };
        var format = new Option<string?>("--format") { Description = "csv, json or jsonl; without it, by the file's ending" };
        format.AcceptOnlyFromAmong("csv", "json", "jsonl");
        var separator = new Option<char?>("--separator") { Description = "Between the fields of a CSV line; without it, whichever of , ; and tab the first line has most" };
        var currency = new Option<string?>("--currency") { Description = "Of prices in rows that do not name one, such as EUR" };
        var dryRun = new Option<bool>("--dry-run") { Description = "Say what would become of each row, and change nothing" };
        var errors = new Option<string?>("--errors") { Description = "Write every row that was not taken, and why, into this CSV file" };
        var import = new Command(
            "import",
            "Make or change products out of a file, through a running server. Rows that are bad are told with their line and hold up no other one; the same file again changes nothing. A row is the whole product: what it leaves out, the product has no more.\n\n" +
            "Columns: sku, title, description, imageUrl, images (a|b), price (12.50), formerPrice, priceCents, formerCents, currency, categories (a|b), isListed, attribute:<name>.\n\nExamples:\n" +
            "  sluice import products.csv --dry-run\n  sluice import products.csv --currency EUR --errors bad.csv\n  sluice import products.jsonl --url http://localhost:8080 --api-key-file data/admin.key") { products, format, separator, currency, dryRun, errors, auditUrl, apiKeyFile, data, json };
        import.SetAction((parsed, cancel) => ImportCommand.RunAsync(
            Overrides(parsed, data, null, set),
            new ImportArguments(
                parsed.GetValue(products)!, parsed.GetValue(auditUrl), parsed.GetValue(apiKeyFile), parsed.GetValue(format), parsed.GetValue(separator), parsed.GetValue(currency), parsed.GetValue(dryRun), parsed.GetValue(errors),
                parsed.GetValue(json)),
            cancel));

        var toShards = new Option<int?>("--to") { Description = "Spread over the first so many of Sql:Shards, 1–16 (all of them)" };
        toShards.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && (!int.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var value) || value is < 1 or > 16))
            {
                result.AddError("--to is a number from 1 to 16.");
            }
        });
        var spread = new Command(
            "spread",
            "Move orders between SQL shards, while the shop stands still: from one database to several, to more, or to fewer. Broken off, it is run again. See docs/shards.md.\n\nExamples:\n" +
            "  sluice spread    (with Sql:Connection and every Sql:Shards:N in the environment)\n  sluice spread --to 2") { toShards, data, set };
        spread.SetAction((parsed, cancel) => SpreadCommand.RunAsync(Overrides(parsed, data, null, set), parsed.GetValue(toShards), cancel));

        var root = new RootCommand("Sluice: flash sales that sell exactly what there is, keep what they accepted, and prove both.\n\n'sluice rush' is the load tester; see 'sluice rush --help'.")
        { serve, demo, audit, verify, import, publish, checkSql, spread, ClusterCommands.Create(json) };
        var result = root.Parse(args);
        if (result.Errors.Count > 0)
        {
            foreach (var error in result.Errors)
            {
                await Console.Error.WriteLineAsync($"sluice: {error.Message}");
            }

            await Console.Error.WriteLineAsync($"Try 'sluice {NameOf(result.CommandResult)}--help'.");
            return WrongArguments;
        }

        try
        {
            return await result.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (SettingsException e)
        {
            foreach (var wrong in e.Wrong)
            {
                await Console.Error.WriteLineAsync($"sluice: setting {wrong}");
            }

            return WrongArguments;
        }
        catch (DependencyUnavailableException e)
        {
            await Console.Error.WriteLineAsync($"sluice: {e.Message}");
            return Unreachable;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // An address in use, a folder that cannot be written: the operating system says it best.
            await Console.Error.WriteLineAsync($"sluice: {e.Message}");
            return Unreachable;
        }
    }

    // With the commands that it is a part of: "cluster kill ".
    private static string NameOf(CommandResult result) => result.Parent is CommandResult parent ? $"{NameOf(parent)}{result.Command.Name} " : "";

    internal static void Bound(Option<int> option, int min, int max) => option.Validators.Add(result =>
    {
        if (result.Tokens is [var token] && (!int.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var value) || value < min || value > max))
        {
            result.AddError($"{option.Name} is a number from {min} to {max}.");
        }
    });

    private static List<KeyValuePair<string, string?>> Overrides(ParseResult parsed, Option<string?>? data, Option<string?>? urls, Option<string[]> set)
    {
        var overrides = new List<KeyValuePair<string, string?>>();
        foreach (var pair in parsed.GetValue(set) ?? [])
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            overrides.Add(equals > 0 ? new(pair[..equals], pair[(equals + 1)..]) : throw new SettingsException([$"'{pair}': --set takes Name=value"]));
        }

        if (data is not null && parsed.GetValue(data) is { } folder)
        {
            overrides.Add(new(nameof(NodeOptions.Data), folder));
        }

        if (urls is not null && parsed.GetValue(urls) is { } addresses)
        {
            overrides.Add(new(nameof(NodeOptions.Urls), addresses));
        }

        return overrides;
    }
}
