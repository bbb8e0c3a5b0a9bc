using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Globalization;
using System.Security.Cryptography;

namespace Sluice.LoadTester;

/// <summary>The command line: every option with its bound, and how it becomes <see cref="RushOptions"/>.</summary>
internal sealed class RushCommand
{
    private const string Examples = """
        Examples:
          sluice-rush --url http://127.0.0.1:8080 --sale 7301 --api-key-file data/admin.key --open-at-start --report report.html
              20,000 buyers in a burst of ten seconds; opens the sale itself and writes a report

          sluice-rush --url http://127.0.0.1:8080 --sale 7301 --shape steady --rate 500 --duration 60 --json
              500 buyers a second for a minute; one JSON object on standard output; the key comes from SLUICE_API_KEY

        Exit codes: 0 the promise held, 1 it broke, 2 wrong arguments, 3 the server could not be reached or the rush could not run.
        """;

    private readonly Option<string> _url = new("--url") { Description = "Where Sluice runs, such as http://127.0.0.1:8080", Required = true };
    private readonly Option<string> _sale = new("--sale") { Description = "The flash sale's id", Required = true };
    private readonly Option<string?> _apiKey = new("--api-key") { Description = "The shop's API key [or: --api-key-file, or SLUICE_API_KEY]" };
    private readonly Option<string?> _apiKeyFile = new("--api-key-file") { Description = "A file with the API key alone in it" };
    private readonly Option<int?> _buyers = new("--buyers") { Description = $"How many buyers, 1 to {RushOptions.BuyersMax:N0} [default: 20000, or --rate times --duration]" };
    private readonly Option<string> _shape = new Option<string>("--shape") { Description = "How they arrive", DefaultValueFactory = _ => "burst" }.AcceptOnlyFromAmong("burst", "steady");
    private readonly Option<double?> _rate = new("--rate") { Description = $"Mean arrivals per second, up to {RushOptions.RateMax:N0} [default: --buyers over --duration]" };
    private readonly Option<double?> _duration = new("--duration") { Description = "Seconds over which they arrive [default: 10, or --buyers over --rate]" };
    private readonly Option<int> _connections = new("--connections") { Description = $"Connections to the server, 1 to {RushOptions.ConnectionsMax:N0}", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _doubleClickers = new("--double-clickers") { Description = "Share of buyers who click twice at once, 0 to 1", DefaultValueFactory = _ => 0.05 };
    private readonly Option<double> _retriers = new("--retriers") { Description = "Share who ask again with the same key", DefaultValueFactory = _ => 0.05 };
    private readonly Option<double> _early = new("--early") { Description = "Share who knock before the opening", DefaultValueFactory = _ => 0.02 };
    private readonly Option<double> _late = new("--late") { Description = "Share who come after the crowd", DefaultValueFactory = _ => 0.05 };
    private readonly Option<int?> _seed = new("--seed") { Description = "The same seed plans the same crowd [default: a new one]" };
    private readonly Option<bool> _openAtStart = new("--open-at-start") { Description = "Open the sale once the early comers were refused" };
    private readonly Option<bool?> _exclusive = new("--exclusive") { Description = "Nobody else buys: the books must agree to the claim [default: if the sale had no claims]" };
    private readonly Option<double> _settle = new("--settle-timeout") { Description = "Seconds to wait at the end until everything is written", DefaultValueFactory = _ => 60 };
    private readonly Option<bool> _json = new("--json") { Description = "One JSON object on standard output, nothing else" };
    private readonly Option<bool> _quiet = new("--quiet") { Description = "No progress on standard error" };
    private readonly Option<string?> _out = new("--out") { Description = "Write the same JSON object to this file" };
    private readonly Option<string?> _ledger = new("--ledger") { Description = "Write every acknowledgement to this CSV file" };
    private readonly Option<string?> _report = new("--report") { Description = "Write the HTML report to this file" };

    public RootCommand Build(Func<RushOptions, Task<int>> run)
    {
        var root = new RootCommand("Sends a crowd of buyers at a Sluice flash sale, then audits every promise the server made.")
        {
            _url, _sale, _apiKey, _apiKeyFile, _buyers, _shape, _rate, _duration, _connections, _doubleClickers, _retriers, _early, _late,
            _seed, _openAtStart, _exclusive, _settle, _json, _quiet, _out, _ledger, _report,
        };
        root.Options.OfType<HelpOption>().Single().Action = new HelpWithExamples();
        root.SetAction((parsed, _) =>
        {
            var (options, error) = Read(parsed, Environment.GetEnvironmentVariable("SLUICE_API_KEY"));
            if (options is null)
            {
                Console.Error.WriteLine($"{error} See sluice-rush --help.");
                return Task.FromResult(ExitCode.BadArguments);
            }

            return run(options);
        });
        return root;
    }

    /// <returns>The options, or one sentence that says what is wrong and what would be right.</returns>
    internal (RushOptions? Options, string? Error) Read(ParseResult parsed, string? environmentKey)
    {
        if (!Uri.TryCreate(parsed.GetValue(_url), UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.PathAndQuery != "/")
        {
            return Wrong("--url must be http:// or https:// with a host and a port, without a path.");
        }

        var sale = parsed.GetValue(_sale)!;
        if (sale.Length is 0 or > 64 || !sale.All(char.IsAsciiLetterOrDigit))
        {
            return Wrong("--sale must be the id of a sale, such as 7301.");
        }

        var (key, keyError) = ApiKey(parsed, environmentKey);
        if (key is null)
        {
            return Wrong(keyError!);
        }

        if (parsed.GetValue(_rate) is { } rate && !(rate > 0 && rate <= RushOptions.RateMax))
        {
            return Wrong($"--rate must be above 0 and at most {RushOptions.RateMax.ToString("N0", CultureInfo.InvariantCulture)} arrivals per second.");
        }

        var (buyers, duration, tied) = RushOptions.Tie(parsed.GetValue(_buyers), parsed.GetValue(_rate), parsed.GetValue(_duration));
        if (tied is not null)
        {
            return Wrong(tied);
        }

        var connections = parsed.GetValue(_connections);
        if (connections is < 1 or > RushOptions.ConnectionsMax)
        {
            return Wrong($"--connections must be 1 to {RushOptions.ConnectionsMax}.");
        }

        var shares = new BuyerShares(parsed.GetValue(_doubleClickers), parsed.GetValue(_retriers), parsed.GetValue(_early), parsed.GetValue(_late));
        if (!(shares.DoubleClickers >= 0 && shares.Retriers >= 0 && shares.Early >= 0 && shares.Late >= 0
            && shares.DoubleClickers + shares.Retriers + shares.Early + shares.Late <= 1.0000001))
        {
            return Wrong("--double-clickers, --retriers, --early and --late are shares from 0 to 1, together at most 1.");
        }

        if (parsed.GetValue(_settle) is not (>= 1 and <= RushOptions.SettleSecondsMax) || parsed.GetValue(_settle) is var settle && double.IsNaN(settle))
        {
            return Wrong($"--settle-timeout must be 1 to {RushOptions.SettleSecondsMax} seconds.");
        }

        foreach (var option in new[] { _out, _ledger, _report })
        {
            if (parsed.GetValue(option) is { } path && Path.GetDirectoryName(Path.GetFullPath(path)) is var folder && !Directory.Exists(folder))
            {
                return Wrong($"{option.Name}: the folder {folder} does not exist.");
            }
        }

        return (new RushOptions
        {
            Url = url,
            SaleId = sale,
            ApiKey = key,
            Buyers = buyers,
            Shape = parsed.GetValue(_shape) == "steady" ? RushShape.Steady : RushShape.Burst,
            Duration = duration,
            Connections = connections,
            Shares = shares,
            Seed = parsed.GetValue(_seed) ?? RandomNumberGenerator.GetInt32(int.MaxValue),
            OpenAtStart = parsed.GetValue(_openAtStart),
            Exclusive = parsed.GetValue(_exclusive),
            SettleTimeout = TimeSpan.FromSeconds(settle),
            Json = parsed.GetValue(_json),
            Quiet = parsed.GetValue(_quiet),
            OutFile = parsed.GetValue(_out),
            LedgerFile = parsed.GetValue(_ledger),
            ReportFile = parsed.GetValue(_report),
            CommandLine = WithoutKey(parsed),
        }, null);
    }

    private static (RushOptions?, string) Wrong(string error) => (null, error);

    private (string? Key, string? Error) ApiKey(ParseResult parsed, string? environmentKey)
    {
        var key = parsed.GetValue(_apiKey);
        if (parsed.GetValue(_apiKeyFile) is { } file)
        {
            if (key is not null)
            {
                return (null, "Give --api-key or --api-key-file, not both.");
            }

            try
            {
                key = File.ReadAllText(file).Trim();
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                return (null, $"--api-key-file cannot be read: {exception.Message}");
            }
        }

        key ??= environmentKey?.Trim();
        return string.IsNullOrEmpty(key) ? (null, "The API key is missing: give --api-key-file or --api-key, or set SLUICE_API_KEY.")
            : key.Length > 512 || key.Any(c => c is <= ' ' or > '~') ? (null, "The API key must be one line of at most 512 printable characters.")
            : (key, null);
    }

    private string WithoutKey(ParseResult parsed)
    {
        // The command is printed in reports that are passed around.
        var given = parsed.GetValue(_apiKey);
        var words = parsed.Tokens.Select(token => given is not null && token.Value == given ? "…" : token.Value)
            .Select(word => word.Contains(' ', StringComparison.Ordinal) ? $"'{word}'" : word);
        return "sluice-rush " + string.Join(' ', words);
    }

    private sealed class HelpWithExamples : SynchronousCommandLineAction
    {
        private readonly HelpAction _help = new();

        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            var code = _help.Invoke(parseResult);
            parseResult.InvocationConfiguration.Output.WriteLine(Examples);
            return code;
        }
    }
}
