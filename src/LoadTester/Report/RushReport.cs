namespace Sluice.LoadTester.Report;
internal static class RushReport { public static string Render(RushResult result, RushTimeline timeline) => result.Says + timeline.SlotWidth; }
