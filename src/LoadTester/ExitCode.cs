namespace Sluice.LoadTester;

internal static class ExitCode
{
    public const int Held = 0;
    public const int Broken = 1;
    public const int BadArguments = 2;
    public const int CouldNotRun = 3;
}
