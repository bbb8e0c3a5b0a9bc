namespace Sluice.LoadTester;

/// <summary>Time since the run began: monotonic, so that a step of the wall clock cannot bend a latency.</summary>
internal sealed class RunClock(TimeProvider time)
{
    private readonly long _origin = time.GetTimestamp();

    public DateTimeOffset StartedAt { get; } = time.GetUtcNow();
    public TimeSpan Now => time.GetElapsedTime(_origin);
}
