namespace Sluice.Tests.Integration.Servers;

/// <summary>A zone in which it is about noon now: no test that checks in today is overtaken by midnight.</summary>
public static class Noon
{
    public static string Zone { get; } = (12 - TimeProvider.System.GetUtcNow().Hour) switch
    {
        0 => "Etc/GMT",

        // East of Greenwich these names have a minus.
        > 0 and var hours => $"Etc/GMT-{hours}",
        var hours => $"Etc/GMT+{-hours}",
    };

    public static string Setting => $"Rewards:TimeZone={Zone}";
}
