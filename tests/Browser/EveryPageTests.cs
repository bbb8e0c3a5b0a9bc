using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>What holds on every page: accessible in both themes, no request to another host, nothing wider than a phone, nothing moves.</summary>
public sealed class EveryPageTests(Shop shop)
{
    // From when the whole of the page is there: what a machine that is busy draws of half a page (a button without its word) is nothing that the page does.
    private const string CountShifts =
        """
        window.shifts = [];
        new PerformanceObserver(list => {
          const { domInteractive } = performance.getEntriesByType('navigation')[0];
          for (const entry of list.getEntries().filter(({ startTime }) => domInteractive > 0 && startTime >= domInteractive))
            window.shifts.push(`${entry.value.toFixed(5)} by ${entry.sources.map(source => source.node?.id || source.node?.className || source.node?.nodeName).join(', ')}`);
        }).observe({ type: 'layout-shift', buffered: true });
        """;

    // What a page asks the server for comes after its first frame, as it does over a network.
    private const string AnswersComeLate =
        """
        const ask = window.fetch;
        window.fetch = (...request) => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => ask(...request));
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
        var id = await shop.CreateSaleAsync("Stands still", stockUnits: 1, opensAt: await shop.NowAsync() + TimeSpan.FromSeconds(12));
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

    [Theory]
    [InlineData(360)]
    [InlineData(1280)]
    public async Task Page_OfEachKind_NeverMovesWhileItLoads(int width)
    {
        await shop.PutAsync("/v1/categories/still", """{"title":"Things that stand still"}""");
        await shop.PutAsync("/v1/products/still", """
            {"title":"A teapot that stands still","description":"It does not move.","categories":["still"],"prices":[{"currency":"EUR","amountCents":4900,"formerCents":5900}],
             "images":[{"url":"/img/kettle.svg","alt":"A kettle","width":320,"height":320,"sizes":[{"url":"/img/mug.svg","width":160}]},{"url":"/img/mug.svg","alt":"A mug","width":320,"height":200},{"url":"/img/lamp.svg","alt":"A lamp","width":320,"height":320}],
             "attributes":[{"name":"Colour","value":"Copper"}]}
            """);
        await shop.AddStockAsync("still", 5);
        var sale = await shop.CreateOpenSaleAsync("Stands still while it loads");
        await using var visitor = await shop.VisitAsync(width);
        var (page, moved) = (visitor.Page, new List<string>());
        await page.AddInitScriptAsync(CountShifts);
        await page.AddInitScriptAsync(AnswersComeLate);

        async Task LookAsync(string path, ILocator last, string? words = null)
        {
            await page.GotoAsync(path);
            await Expect(last).ToBeVisibleAsync();
            if (words is not null)
                await Expect(last).ToContainTextAsync(words);
            moved.AddRange((await page.EvaluateAsync<string[]>(ShiftsSoFar)).Select(shift => $"{path}: {shift}"));
        }

        await LookAsync("/", page.Locator(".card[data-stage]").First);
        await LookAsync("/products", page.Locator("#products .card").First);
        await LookAsync("/categories/still", page.Locator("#products .card").First);
        await LookAsync("/search?q=stands+still", page.Locator("#products .card").First);
        await LookAsync("/search", page.GetByText("What are you looking for?"));
        await LookAsync("/products/still", page.Locator("#offer"), "In no sale right now");
        await LookAsync("/products/still", page.Locator("#buy-now"), "left");
        await LookAsync($"/sales/{sale}", visitor.BuyButton, "Buy now");
        await LookAsync("/account", page.Locator("#sign-in"));
        await LookAsync("/orders", page.GetByText("No orders yet"));

        // Whoever logs in has seen nothing of theirs before: the page is measured when it is opened again.
        await page.GotoAsync("/account#register");
        await page.Locator("#name").FillAsync("Cat");
        await page.Locator("#email").FillAsync($"still-{Guid.NewGuid():N}@example.org");
        await page.Locator("#password").FillAsync("nine lives at least");
        await page.GetByRole(AriaRole.Button, new() { Name = "Register", Exact = true }).ClickAsync();
        await Expect(page.Locator("#mine")).ToBeVisibleAsync();
        await LookAsync("/", page.Locator(".card[data-stage]").First);
        await LookAsync("/account", page.Locator("#addresses"), "None yet");
        await visitor.BuyAsync(sale);
        await LookAsync("/account", page.Locator("#addresses"), "None yet");
        await LookAsync("/orders", page.Locator(".order .status"), "Waiting for payment");

        Assert.Empty(moved);
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(visitor.RequestsElsewhere);
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
