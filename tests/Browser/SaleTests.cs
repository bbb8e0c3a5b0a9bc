using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

public sealed class SaleTests(Shop shop)
{
    [Fact]
    public async Task Sale_WhenItsTimeComes_OpensByItself()
    {
        var id = await shop.CreateSaleAsync("Opens by itself", opensAt: await shop.NowAsync() + TimeSpan.FromSeconds(5));
        await using var visitor = await shop.VisitAsync();

        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("waiting", "Opens in 00:0");
        await Expect(visitor.BuyButton).ToHaveAttributeAsync("aria-disabled", "true");

        await visitor.SeesButtonAsync("open", "Buy now");
        Assert.True(await shop.NowAsync() >= await OpensAtAsync(visitor, id), "The button opened before the sale did.");
    }

    [Theory]
    [InlineData(-3_600_000)]
    [InlineData(3_600_000)]
    public async Task Sale_WhenTheVisitorsClockIsAnHourOff_CountsOnTheServersClock(int offMs)
    {
        var id = await shop.CreateSaleAsync("Another clock", opensAt: await shop.NowAsync() + TimeSpan.FromMinutes(10));
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.AddInitScriptAsync($"{{ const real = Date.now; Date.now = () => real() + ({offMs}); }}");

        await visitor.GoToSaleAsync(id);

        await visitor.SeesButtonAsync("waiting", "Opens in 09:5");
    }

    [Fact]
    public async Task Sale_WhenItIsADraftThenOpenedPausedAndClosed_FollowsEachByItself()
    {
        var id = await shop.CreateSaleAsync("Follows the shop");
        await using var visitor = await shop.VisitAsync();
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("waiting", "Not open yet");

        await shop.OpenAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await shop.PauseAsync(id);
        await visitor.SeesButtonAsync("gone", "Paused");

        await shop.OpenAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await shop.CloseAsync(id);
        await visitor.SeesButtonAsync("gone", "This sale has ended");
    }

    [Fact]
    public async Task Sale_WhenAUnitComesBack_ReArmsTheSoldOutPage()
    {
        var id = await shop.CreateOpenSaleAsync("Comes back", stockUnits: 1);
        await using var buyer = await shop.VisitAsync();
        var orderId = await buyer.BuyAsync(id);
        await using var late = await shop.VisitAsync();
        await late.GoToSaleAsync(id);
        await late.SeesButtonAsync("gone", "Sold out");
        await late.Page.GetByRole(Microsoft.Playwright.AriaRole.Button, new() { Name = "Watch for units" }).ClickAsync();
        await Expect(late.Advice).ToContainTextAsync("Watching");

        await OrderTests.CancelAsync(buyer, orderId);

        await late.SeesButtonAsync("open", "Buy now");
        await Expect(late.Page).ToHaveTitleAsync("Buy now: Comes back · Sluice");
        await late.BuyButton.ClickAsync();
        await late.SeesButtonAsync("yours", "Yours: pay within");
    }

    [Fact]
    public async Task Sale_WhenTheConnectionIsLost_SaysSinceWhenAndRecovers()
    {
        var id = await shop.CreateOpenSaleAsync("Lost connection");
        await using var visitor = await shop.VisitAsync();
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.Page.RouteAsync("**/v1/flash-sales/*", route => route.AbortAsync());
        await Expect(visitor.Page.Locator("#heard")).ToContainTextAsync("No answer since");
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.Page.UnrouteAsync("**/v1/flash-sales/*");
        await Expect(visitor.Page.Locator("#heard")).ToContainTextAsync("Live");
    }

    [Fact]
    public async Task Sale_WhenItDoesNotExist_SaysSo()
    {
        await using var visitor = await shop.VisitAsync();

        await visitor.GoToSaleAsync("999999999999999");

        await Expect(visitor.Page.GetByRole(Microsoft.Playwright.AriaRole.Alert)).ToContainTextAsync("There is no such sale");
    }

    private static async Task<DateTimeOffset> OpensAtAsync(Visitor visitor, string saleId) =>
        DateTimeOffset.Parse(await visitor.Page.EvaluateAsync<string>($"async () => (await (await fetch('/v1/flash-sales/{saleId}')).json()).opensAt"));
}
