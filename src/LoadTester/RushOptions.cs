namespace Sluice.LoadTester;

/// <summary>How arrivals spread over the duration.</summary>
internal enum RushShape
{
    /// <summary>Most buyers come in the first moments; the crowd thins out exponentially.</summary>
    Burst,

    /// <summary>The same expected rate from the first second to the last.</summary>
    Steady,
}

/// <summary>The share of each kind of buyer, 0–1; the rest are plain buyers. Together at most 1.</summary>
internal sealed record BuyerShares(double DoubleClickers, double Retriers, double Early, double Late);

/// <summary>One rush, with every number inside its bounds. Made by <see cref="RushCommand"/>.</summary>
internal sealed record RushOptions
{
    public const int BuyersMax = 200_000;
    public const int ConnectionsMax = 1_024;
    public const double RateMax = 50_000;
    public const double DurationSecondsMin = 0.1;
    public const double DurationSecondsMax = 3_600;
    public const double SettleSecondsMax = 600;

    public required Uri Url { get; init; }
    public required string SaleId { get; init; }
    public required string ApiKey { get; init; }
    public int Buyers { get; init; } = 20_000;
    public RushShape Shape { get; init; } = RushShape.Burst;
    public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(10);
    public int Connections { get; init; } = 64;
    public BuyerShares Shares { get; init; } = new(0.05, 0.05, 0.02, 0.05);
    public int Seed { get; init; }
    public bool OpenAtStart { get; init; }

    /// <summary>Whether the sale belongs to this run alone; null decides by whether it had claims before.</summary>
    public bool? Exclusive { get; init; }

    public TimeSpan SettleTimeout { get; init; } = TimeSpan.FromSeconds(60);
    public bool Json { get; init; }
    public bool Quiet { get; init; }
    public string? OutFile { get; init; }
    public string? LedgerFile { get; init; }
    public string? ReportFile { get; init; }

    /// <summary>The command as typed, without the key: it is printed in the report.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>Buyers, rate and duration are tied: any two give the third.</summary>
    /// <returns>The pair to run, or a sentence that says what is wrong with the three.</returns>
    public static (int Buyers, TimeSpan Duration, string? Error) Tie(int? buyers, double? rate, double? seconds)
    {
        switch (buyers, rate, seconds)
        {
            case ({ }, { }, { }):
                return (0, default, "Give two of --buyers, --rate and --duration: the third follows from them.");
            case (null, { } r, { } s):
                return Bounded(Math.Round(r * s), s);
            case (_, { } r, null):
                return Bounded(buyers ?? 20_000, (buyers ?? 20_000) / r);
            case (_, null, _):
                return Bounded(buyers ?? 20_000, seconds ?? 10);
        }
    }

    private static (int Buyers, TimeSpan Duration, string? Error) Bounded(double buyers, double seconds)
    {
        if (buyers is not (>= 1 and <= BuyersMax))
        {
            return (0, default, $"This rush would have {buyers:N0} buyers; 1 to {BuyersMax:N0} are possible. Change --buyers, --rate or --duration.");
        }

        if (seconds is not (>= DurationSecondsMin and <= DurationSecondsMax))
        {
            return (0, default,
                $"This rush would last {seconds:0.##} s; {DurationSecondsMin} to {DurationSecondsMax:N0} s are possible. Change --rate or --buyers.");
        }

        return ((int)buyers, TimeSpan.FromSeconds(seconds), null);
    }
}
