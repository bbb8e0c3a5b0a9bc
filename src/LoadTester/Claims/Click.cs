namespace Sluice.LoadTester.Claims;

internal enum ClickRole
{
    /// <summary>Before the opening.</summary>
    Knock,

    Claim,

    /// <summary>A double-clicker's other request.</summary>
    SecondClick,

    /// <summary>The same key again after an answer.</summary>
    Repeat,
}

/// <summary>One thing a buyer asked for, under one key, from the planned moment to a definite answer, over all its attempts.</summary>
internal sealed class Click(int buyer, int keyNumber, ClickRole role, TimeSpan plannedAt)
{
    public int Buyer { get; } = buyer;
    public int KeyNumber { get; } = keyNumber;
    public ClickRole Role { get; } = role;

    /// <summary>When the buyer clicked, on the run's clock. Latency counts from here, over every attempt.</summary>
    public TimeSpan PlannedAt { get; } = plannedAt;

    public int Attempts { get; set; }

    /// <summary>An attempt went out whose effect is not known, and no later attempt has told.</summary>
    public bool IsInDoubt { get; set; }

    /// <summary>For a repeat: the claim id of the answer before, if that was an acknowledgement.</summary>
    public string? ClaimIdBefore { get; init; }
}
