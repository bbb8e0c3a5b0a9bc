using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

public sealed class HomeTests(Shop shop)
{
    [Fact]
    public async Task Home_WithSalesOfEveryKind_ListsEachWhereItBelongs()
    {
        await shop.CreateOpenSaleAsync("Home: on now");
        await shop.CreateSaleAsync("Home: announced", opensAt: await shop.NowAsync() + TimeSpan.FromHours(2));
        await shop.CreateSaleAsync("Home: a draft");
        await shop.CloseAsync(await shop.CreateOpenSaleAsync("Home: over"));
        await using var visitor = await shop.VisitAsync();

        await visitor.Page.GotoAsync("/");

        await Expect(Region(visitor, "On now").GetByRole(AriaRole.Link, new() { Name = "Home: on now" })).ToBeVisibleAsync();
        await Expect(Region(visitor, "Next").GetByText("Home: announced")).ToBeVisibleAsync();
        await Expect(Region(visitor, "Next").Locator(".card", new() { HasText = "Home: announced" })).ToContainTextAsync("Opens in 01:59:");
        await Expect(Region(visitor, "Past").GetByText("Home: over")).ToBeVisibleAsync();
        await Expect(visitor.Page.GetByText("Home: a draft")).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task HomeAndSale_WithoutAScript_SayWhatIsSoldAtWhichPriceAndWhen()
    {
        await shop.PutProductAsync("kettle", "Kettle", 7_900);
        var id = await shop.CreateSaleAsync("Home: read without a script", opensAt: DateTimeOffset.Parse("2027-02-01T10:00:00Z", System.Globalization.CultureInfo.InvariantCulture));
        await using var visitor = await shop.VisitAsync(scripts: false);

        await visitor.Page.GotoAsync("/");
        await Expect(visitor.Page.Locator(".card", new() { HasText = "Home: read without a script" })).ToContainTextAsync("From 1 Feb 2027, 10:00 UTC");
        await PictureAsync(visitor.Page, "home-without-script");
        await visitor.Page.Locator($"a[href='/sales/{id}']").ClickAsync();

        await Expect(visitor.Page).ToHaveTitleAsync("Home: read without a script · Sluice");
        await Expect(visitor.Page.Locator("#price")).ToContainTextAsync("49.00 EUR");
        await Expect(visitor.Page.Locator("#countdown-when")).ToHaveTextAsync("Opens 1 Feb 2027, 10:00 UTC");
        Assert.Contains("\"availabilityStarts\":\"2027-02-01T10:00:00Z\"", await visitor.Page.ContentAsync(), StringComparison.Ordinal);
        await PictureAsync(visitor.Page, "sale-without-script");
    }

    private static async Task PictureAsync(IPage page, string name)
    {
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { Length: > 0 } folder)
            await page.ScreenshotAsync(new() { Path = Path.Combine(folder, $"{name}.png"), FullPage = true });
    }

    [Fact]
    public async Task Home_WhenASaleIsOver_ShowsTheSealOfItsCertificate()
    {
        await shop.CloseAsync(await shop.CreateOpenSaleAsync("Home: sealed"));
        await using var visitor = await shop.VisitAsync();

        await visitor.Page.GotoAsync("/");
        var seal = Region(visitor, "Past").Locator(".card", new() { HasText = "Home: sealed" }).Locator(".seal");
        await seal.ScrollIntoViewIfNeededAsync();

        await Expect(seal).ToContainTextAsync("Held: 0 sold");
    }

    [Fact]
    public async Task Home_WhenASaleOpens_MovesItsCardByItself()
    {
        var id = await shop.CreateSaleAsync("Home: moves", opensAt: await shop.NowAsync() + TimeSpan.FromSeconds(4));
        await using var visitor = await shop.VisitAsync();

        await visitor.Page.GotoAsync("/");

        await Expect(Region(visitor, "On now").Locator($"a[href='/sales/{id}']")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Home_WhenTheListCannotBeRead_SaysSoAndTriesAgainOnRequest()
    {
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.RouteAsync("**/v1/flash-sales?*", route => route.AbortAsync());
        await visitor.Page.GotoAsync("/");
        await Expect(visitor.Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("cannot be reached");

        await visitor.Page.UnrouteAsync("**/v1/flash-sales?*");
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Try again" }).ClickAsync();

        await Expect(visitor.Page.GetByRole(AriaRole.Heading, new() { Name = "On now", Exact = true })).ToBeVisibleAsync();
    }

    private static ILocator Region(Visitor visitor, string name) => visitor.Page.GetByRole(AriaRole.Region, new() { Name = name });
}
