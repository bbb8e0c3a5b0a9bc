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
