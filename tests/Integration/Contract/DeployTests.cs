namespace Sluice.Tests.Integration.Contract;

/// <summary>The configuration files that are handed out, checked by the programs that read them.</summary>
public sealed class DeployTests
{
    [Fact]
    public async Task HaProxyConfiguration_IsTakenByHaProxy()
    {
        await using var check = ChildProcess.Start(File.Exists("/usr/sbin/haproxy") ? "/usr/sbin/haproxy" : "haproxy", ["-c", "-f", Path.Combine(Programs.Root, "deploy/haproxy/haproxy.cfg")]);
        Assert.True(await check.WaitAsync(TimeSpan.FromMinutes(1)) == 0, check.Output);
        Assert.DoesNotContain("WARNING", check.Output, StringComparison.Ordinal);
    }
}
