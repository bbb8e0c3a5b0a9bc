using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>Buying a product outside of a sale: one press on its page, then its order.</summary>
public sealed class StockTests(Shop shop)
{
    [Fact]
    public async Task Product_WithStock_IsBoughtWithOnePressAtThePriceThatIsShown()
    {
        await shop.PutProductAsync("teacup", "Teacup", 2_350);
        await shop.AddStockAsync("teacup", 5);
        await using var visitor = await shop.VisitAsync();
        var page = visitor.Page;
        await page.GotoAsync("/products/teacup");
        await visitor.SeesButtonAsync("open", "Buy now");
        await Expect(page.Locator("#buy-now")).ToContainTextAsync("Only 5 left");
        await PictureAsync(page, "product-buy-phone");
        await page.GetByLabel("Units").SelectOptionAsync("2");
        await visitor.BuyButton.ClickAsync();

        await page.WaitForURLAsync("**/orders/**");
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€47.00");
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Back to the product" })).ToHaveAttributeAsync("href", "/products/teacup");
        await Expect(page.Locator("#timeline li")).ToHaveCountAsync(2);
        await Expect(page.Locator("#timeline")).ToContainTextAsync("Order written down");
        await page.Locator("#pay").ClickAsync();
        await Expect(page.Locator("#timeline li")).ToHaveCountAsync(3, new() { Timeout = 30_000 });
        await PictureAsync(page, "order-timeline-phone");
        Assert.Empty(await shop.Axe.ViolationsAsync(page));
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(visitor.RequestsElsewhere);
    }

    [Fact]
    public async Task Product_WhosePriceChangedMeanwhile_ShowsTheNewOneAndBuysAtIt()
    {
        await shop.PutProductAsync("saucer", "Saucer", 900);
        await shop.AddStockAsync("saucer", 30);
        await using var visitor = await shop.VisitAsync(1280, ColorScheme.Dark);
        var page = visitor.Page;
        await page.GotoAsync("/products/saucer");
        await visitor.SeesButtonAsync("open", "Buy now");
        await shop.PutProductAsync("saucer", "Saucer", 1_100);

        await visitor.BuyButton.ClickAsync();

        await Expect(page.Locator("#buy-now")).ToContainTextAsync("The price has changed meanwhile");
        await Expect(page.Locator(".price-now").First).ToHaveTextAsync("€11.00");
        await PictureAsync(page, "price-changed-desktop-dark");
        await visitor.BuyButton.ClickAsync();
        await page.WaitForURLAsync("**/orders/**");
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€11.00");
        Assert.Empty(visitor.ScriptErrors);
    }

    [Fact]
    public async Task Purchase_WhoseAnswerIsLost_GoesOnAfterAReloadAndIsOne()
    {
        await shop.PutProductAsync("spoon", "Spoon", 400);
        await shop.AddStockAsync("spoon", 30);
        await using var visitor = await shop.VisitAsync();
        var page = visitor.Page;
        var lost = new TaskCompletionSource();
        await page.RouteAsync("**/claims", async route =>
        {
            if (lost.Task.IsCompleted)
            {
                await route.ContinueAsync();
                return;
            }

            await route.FetchAsync();
            lost.SetResult();
            await route.AbortAsync();
        });
        await page.GotoAsync("/products/spoon");
        await visitor.SeesButtonAsync("open", "Buy now");
        await visitor.BuyButton.ClickAsync();
        await lost.Task;

        await page.ReloadAsync();

        await page.WaitForURLAsync("**/orders/**");
        Assert.Single(visitor.ClaimKeys);
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€4.00");
        await page.GotoAsync("/products/spoon");
        await Expect(page.Locator("#buy-now")).ToContainTextAsync("In stock");
    }

    [Fact]
    public async Task Product_WithoutStockOrSoldOut_SaysSo()
    {
        await shop.PutProductAsync("tray", "Tray", 1_900);
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.GotoAsync("/products/tray");
        await visitor.SeesButtonAsync("gone", "Only sold in sales");
        await shop.AddStockAsync("tray", 1);
        await using (var other = await shop.VisitAsync())
        {
            await other.Page.GotoAsync("/products/tray");
            await other.SeesButtonAsync("open", "Buy now");
            await other.BuyButton.ClickAsync();
            await other.Page.WaitForURLAsync("**/orders/**");
        }

        await visitor.Page.ReloadAsync();
        await visitor.SeesButtonAsync("gone", "Out of stock");
        Assert.Empty(await shop.Axe.ViolationsAsync(visitor.Page));
    }

    private static async Task PictureAsync(IPage page, string name)
    {
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { } folder)
            await page.ScreenshotAsync(new() { Path = Path.Combine(folder, $"{name}.png"), FullPage = true });
    }
}
