using System.CommandLine;
using Sluice.Bench.Runner;

// bench/run and bench/must-hold-1 build everything and then come here.
var rounds = new Option<int>("--rounds") { Description = "Rounds that count, 1 to 100; two more warm up", DefaultValueFactory = _ => 5 };
var seconds = new Option<double>("--seconds") { Description = "Seconds of load for each contender in each round, 1 to 60", DefaultValueFactory = _ => 5 };
var connections = new Option<int>("--connections") { Description = "Keep-alive connections of wrk, 1 to 1000", DefaultValueFactory = _ => 128 };
var users = new Option<string>("--users") { Description = "Whether user ids arrive in order; real ones do not", DefaultValueFactory = _ => "scattered" };
users.AcceptOnlyFromAmong("scattered", "ordered");
var scratch = new Option<bool>("--scratch") { Description = "Print only, write nothing to bench/results" };
var scenarios = new Argument<string[]>("scenario") { Description = "Which; all when none is named", Arity = ArgumentArity.ZeroOrMore };
scenarios.AcceptOnlyFromAmong([.. ScenarioRun.All.Keys]);

var run = new Command("run", "Measures Sluice against the baselines, round by round in turn.") { scenarios, rounds, seconds, connections, users, scratch };
run.SetAction((parsed, cancel) => Guarded(() => ScenarioRun.RunAsync(
    parsed.GetValue(scenarios) is { Length: > 0 } named ? named : [.. ScenarioRun.All.Keys],
    new BenchOptions(
        Math.Clamp(parsed.GetValue(rounds), 1, 100),
        Math.Clamp(parsed.GetValue(seconds), 1, 60),
        Math.Clamp(parsed.GetValue(connections), 1, 1_000),
        Threads: 2,
        parsed.GetValue(users) == "ordered" ? UserOrder.Ordered : UserOrder.Scattered),
    writeResults: !parsed.GetValue(scratch),
    "bench/run " + string.Join(' ', args.Skip(1)),
    cancel)));

var runs = new Option<int>("--runs") { Description = "Sales in a row, 1 to 1000", DefaultValueFactory = _ => 20 };
var buyers = new Option<int>("--buyers") { Description = "Buyers of each sale, 100 to 200000", DefaultValueFactory = _ => 20_000 };
var stock = new Option<int>("--stock") { Description = "Units of each sale, 1 to 100000", DefaultValueFactory = _ => 500 };
var tool = new Option<string>("--tool") { Description = "Who sends the crowd", DefaultValueFactory = _ => "both" };
tool.AcceptOnlyFromAmong("wrk", "rush", "both");
var twentyRuns = new Command("twenty-runs", "Sells the same stock to a crowd again and again, and checks every promise each time.") { runs, buyers, stock, tool };
twentyRuns.SetAction((parsed, cancel) => Guarded(() => TwentyRuns.RunAsync(
    Math.Clamp(parsed.GetValue(runs), 1, 1_000),
    Math.Clamp(parsed.GetValue(buyers), 100, 200_000),
    Math.Clamp(parsed.GetValue(stock), 1, 100_000),
    parsed.GetValue(tool)!,
    cancel)));

return await new RootCommand("Sluice's benches. Everything runs on the loopback of this machine.") { run, twentyRuns }.Parse(args).InvokeAsync();

static async Task<int> Guarded(Func<Task<int>> action)
{
    try
    {
        return await action();
    }
    catch (BenchException problem)
    {
        await Console.Error.WriteLineAsync(problem.Message);
        return 1;
    }
}
