using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>What holds on every page: accessible in both themes, no request to another host, nothing wider than a phone, nothing moves.</summary>
public sealed class EveryPageTests(Shop shop)
{
    private const string CountShifts =
        """
        window.shifts = [];
        new PerformanceObserver(list => {
          for (const entry of list.getEntries())
            window.shifts.push(`${entry.value.toFixed(5)} by ${entry.sources.map(source => source.node?.id || source.node?.className || source.node?.nodeName).join(', ')}`);
        }).observe({ type: 'layout-shift', buffered: true });
        """;

    // Two frames: an entry is delivered after the frame that moved something was drawn.
    private const string ShiftsSoFar = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(window.shifts))))";

    [Theory]
    [InlineData(360, ColorScheme.Light)]
    [InlineData(360, ColorScheme.Dark)]
    [InlineData(1280, ColorScheme.Light)]
    [InlineData(1280, ColorScheme.Dark)]
    public async Task Page_InEveryStateThemeAndWidth_IsAccessibleFitsAndStaysOnItsOrigin(int width, ColorScheme scheme)
    {
        await using var visitor = await shop.VisitAsync(width, scheme);
        var wrong = new List<string>();

        async Task LookAsync(string where)
        {
            wrong.AddRange((await shop.Axe.ViolationsAsync(visitor.Page)).Select(violation => $"{where}: {violation}"));
            var tooWide = await visitor.Page.EvaluateAsync<int>("() => document.documentElement.scrollWidth - document.documentElement.clientWidth");
            if (tooWide > 0)
                wrong.Add($"{where}: {tooWide} px wider than the screen");
        }

        var draft = await shop.CreateSaleAsync("Looked at: a draft");
        await visitor.GoToSaleAsync(draft);
        await visitor.SeesButtonAsync("waiting", "Not open yet");
        await LookAsync("a draft");

        await visitor.GoToSaleAsync(await shop.CreateSaleAsync("Looked at: scheduled", opensAt: await shop.NowAsync() + TimeSpan.FromDays(12)));
        await visitor.SeesButtonAsync("waiting", "Opens in 11d");
        await LookAsync("a scheduled sale");

        var sale = await shop.CreateOpenSaleAsync("Looked at: the last unit of a sale with a rather long title", stockUnits: 1);
        await visitor.GoToSaleAsync(sale);
        await visitor.SeesButtonAsync("open", "Buy now");
        await LookAsync("an open sale");

        var order = await visitor.BuyAsync(sale);
        await LookAsync("a unit that is held");
        await visitor.Page.GotoAsync("/orders");
        await Expect(visitor.Page.Locator(".order .status")).ToHaveTextAsync("Waiting for payment");
        await LookAsync("the orders");
        await visitor.Page.GotoAsync($"/orders/{order}");
        await Expect(visitor.Page.Locator("#status")).ToHaveTextAsync("Waiting for payment");
        await LookAsync("a pending order");
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Cancel the order" }).ClickAsync();
        await Expect(visitor.Page.GetByRole(AriaRole.Dialog)).ToBeVisibleAsync();
        await LookAsync("the question before cancelling");
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Keep the order" }).ClickAsync();
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }).ClickAsync();
        await Expect(visitor.Page.Locator("#status")).ToHaveTextAsync("Paid");
        await LookAsync("a paid order");
        await visitor.GoToSaleAsync(sale);
        await visitor.SeesButtonAsync("yours", "Yours, and paid");
        await LookAsync("a unit that is paid");

        // From here on somebody else, who has nothing in this sale.
        await visitor.Page.EvaluateAsync("() => localStorage.clear()");
        await visitor.GoToSaleAsync(sale);
        await visitor.SeesButtonAsync("gone", "Sold out");
        await LookAsync("a sold-out sale");
        await shop.PauseAsync(sale);
        await visitor.SeesButtonAsync("gone", "Paused");
        await LookAsync("a paused sale");
        await shop.CloseAsync(sale);
        await visitor.SeesButtonAsync("gone", "This sale has ended");
        await LookAsync("a closed sale");

        await visitor.Page.GotoAsync($"/sales/{sale}/certificate");
        await Expect(visitor.Page.Locator("#signature")).ToContainTextAsync("checked");
        await LookAsync("a certificate");
        await visitor.Page.GotoAsync("/");
        await Expect(visitor.Page.Locator(".card[data-stage]").First).ToBeVisibleAsync();
        await LookAsync("home");
        await visitor.Page.GotoAsync("/orders");
        await Expect(visitor.Page.GetByText("No orders yet")).ToBeVisibleAsync();
        await LookAsync("no orders");
        await visitor.GoToSaleAsync("999999999999999");
        await Expect(visitor.Page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        await LookAsync("no such sale");
        await visitor.Page.GotoAsync("/there/is/nothing/here");
        await Expect(visitor.Page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToHaveTextAsync("There is nothing at this address");
        await LookAsync("not found");

        Assert.Empty(wrong);
        Assert.Empty(visitor.RequestsElsewhere);
        Assert.Empty(visitor.ScriptErrors);
    }

    [Theory]
    [InlineData(360)]
    [InlineData(1280)]
    public async Task SalePage_FromTooEarlyToPaidAndSoldOut_NeverMoves(int width)
    {
        var id = await shop.CreateSaleAsync("Stands still", stockUnits: 1, opensAt: await shop.NowAsync() + TimeSpan.FromSeconds(5));
        await using var buyer = await shop.VisitAsync(width);
        await using var late = await shop.VisitAsync(width);
        await buyer.Page.AddInitScriptAsync(CountShifts);
        await late.Page.AddInitScriptAsync(CountShifts);

        await buyer.GoToSaleAsync(id);
        await late.GoToSaleAsync(id);
        await buyer.SeesButtonAsync("waiting", "Opens in");
        await buyer.SeesButtonAsync("open", "Buy now");
        await late.SeesButtonAsync("open", "Buy now");
        await buyer.BuyButton.ClickAsync();
        await buyer.SeesButtonAsync("yours", "Yours: pay within");
        await late.SeesButtonAsync("gone", "Sold out");
        await buyer.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }).ClickAsync();
        await buyer.SeesButtonAsync("yours", "Yours, and paid");
        await shop.PauseAsync(id);
        await late.SeesButtonAsync("gone", "Paused");

        Assert.Empty(await buyer.Page.EvaluateAsync<string[]>(ShiftsSoFar));
        Assert.Empty(await late.Page.EvaluateAsync<string[]>(ShiftsSoFar));
    }

    [Fact]
    public async Task OrderPage_FromPendingToCancelled_NeverMoves()
    {
        var id = await shop.CreateOpenSaleAsync("Order stands still");
        await using var visitor = await shop.VisitAsync();
        var orderId = await visitor.BuyAsync(id);
        await visitor.Page.AddInitScriptAsync(CountShifts);

        await OrderTests.CancelAsync(visitor, orderId);

        Assert.Empty(await visitor.Page.EvaluateAsync<string[]>(ShiftsSoFar));
    }

    [Fact]
    public async Task Page_WithoutTheMouse_OffersToSkipToTheContent()
    {
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.GotoAsync("/");

        await visitor.Page.Keyboard.PressAsync("Tab");
        await Expect(visitor.Page.GetByRole(AriaRole.Link, new() { Name = "Skip to the content" })).ToBeFocusedAsync();
        await visitor.Page.Keyboard.PressAsync("Enter");

        await Expect(visitor.Page.GetByRole(AriaRole.Main)).ToBeFocusedAsync();
    }
}
