using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

public sealed class PurchaseTests(Shop shop)
{
    [Fact]
    public async Task Buy_WhileTheOrderIsWritten_HoldsThePlaceThenIsYours()
    {
        var id = await shop.CreateOpenSaleAsync("Queued, then yours");
        await using var visitor = await shop.VisitAsync();
        // The answer about the claim is kept back until the page was seen waiting for it.
        var seen = new TaskCompletionSource();
        await visitor.Page.RouteAsync("**/v1/claims/**", async route =>
        {
            await seen.Task;
            await route.ContinueAsync();
        });
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.BuyButton.ClickAsync();
        await visitor.SeesButtonAsync("holding", "Holding your place");
        await Expect(visitor.BuyButton).ToHaveAttributeAsync("aria-disabled", "true");
        await Expect(visitor.Advice).ToContainTextAsync("A unit is set aside for you");
        seen.SetResult();

        await visitor.SeesButtonAsync("yours", "Yours: pay within 14:");
        Assert.Single(await visitor.OrdersAsync(id));
        Assert.Empty(visitor.ScriptErrors);
    }

    [Fact]
    public async Task Buy_WhenPressedManyTimes_IsOneClaim()
    {
        var id = await shop.CreateOpenSaleAsync("Double click");
        await using var visitor = await shop.VisitAsync();
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.BuyButton.EvaluateAsync("button => { button.click(); button.click(); button.click(); }");
        await visitor.SeesButtonAsync("yours", "Yours: pay within");

        Assert.Single(visitor.ClaimsSent);
        Assert.Single(await visitor.OrdersAsync(id));
        await Expect(visitor.Page.Locator("#stock")).ToContainTextAsync("9 of 10 left");
    }

    [Fact]
    public async Task Buy_WhenTheAnswerIsLost_AsksAgainWithTheSameKeyAndIsOneClaim()
    {
        var id = await shop.CreateOpenSaleAsync("Lost answer");
        await using var visitor = await shop.VisitAsync();
        // The server hears the first request; the page never hears its answer.
        var lost = false;
        await visitor.Page.RouteAsync("**/claims", async route =>
        {
            if (lost)
            {
                await route.ContinueAsync();
                return;
            }

            lost = true;
            await route.FetchAsync();
            await route.AbortAsync();
        });
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.BuyButton.ClickAsync();
        await visitor.SeesButtonAsync("yours", "Yours: pay within");

        Assert.Equal(2, visitor.ClaimsSent.Count);
        Assert.Single(visitor.ClaimKeys);
        Assert.Single(await visitor.OrdersAsync(id));
    }

    [Fact]
    public async Task Buy_WhenThePageIsReloadedBeforeTheAnswer_GoesOnWithTheSameKey()
    {
        var id = await shop.CreateOpenSaleAsync("Reloaded");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.RouteAsync("**/claims", route => route.AbortAsync());
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");
        await visitor.BuyButton.ClickAsync();
        await Expect(visitor.Advice).ToContainTextAsync("you cannot buy twice");

        await visitor.Page.UnrouteAsync("**/claims");
        await visitor.Page.ReloadAsync();

        await visitor.SeesButtonAsync("yours", "Yours: pay within");
        Assert.Single(visitor.ClaimKeys);
        Assert.Single(await visitor.OrdersAsync(id));
    }

    [Fact]
    public async Task Buy_WhenTheServerIsFull_WaitsAsToldAndBuysOnce()
    {
        var id = await shop.CreateOpenSaleAsync("Full for a moment");
        await using var visitor = await shop.VisitAsync();
        var refused = false;
        await visitor.Page.RouteAsync("**/claims", async route =>
        {
            if (refused)
            {
                await route.ContinueAsync();
                return;
            }

            refused = true;
            await route.FulfillAsync(new()
            {
                Status = 503,
                ContentType = "application/problem+json",
                Headers = new Dictionary<string, string>(StringComparer.Ordinal) { ["Retry-After"] = "1" },
                Body = """{"type":"https://sluice.dev/problems/queue-full","title":"Queue full","status":503,"code":"queue-full"}""",
            });
        });
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.BuyButton.ClickAsync();
        await Expect(visitor.Advice).ToContainTextAsync("very busy");

        await visitor.SeesButtonAsync("yours", "Yours: pay within");
        Assert.Single(visitor.ClaimKeys);
    }

    [Fact]
    public async Task Buy_WhenTheVisitorComesBackLater_StillShowsTheirUnit()
    {
        var id = await shop.CreateOpenSaleAsync("Comes back later");
        await using var visitor = await shop.VisitAsync();
        await visitor.BuyAsync(id);

        await visitor.Page.GotoAsync("/");
        await visitor.GoToSaleAsync(id);

        await visitor.SeesButtonAsync("yours", "Yours: pay within");
        Assert.Single(visitor.ClaimsSent);
    }

    [Fact]
    public async Task Pay_OnTheSalePage_IsPaid()
    {
        var id = await shop.CreateOpenSaleAsync("Paid at once");
        await using var visitor = await shop.VisitAsync();
        await visitor.BuyAsync(id);

        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }).ClickAsync();

        await visitor.SeesButtonAsync("yours", "Yours, and paid");
        Assert.Equal("paid", (await visitor.OrdersAsync(id))[0].GetProperty("state").GetString());
    }

    [Fact]
    public async Task Buy_WithTheKeyboardOnly_IsPaid()
    {
        var id = await shop.CreateOpenSaleAsync("By keyboard");
        await using var visitor = await shop.VisitAsync(width: 1280);
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.TabToAsync(visitor.BuyButton);
        await visitor.Page.Keyboard.PressAsync("Enter");
        await visitor.SeesButtonAsync("yours", "Yours: pay within");
        await Expect(visitor.BuyButton).ToBeFocusedAsync();
        await visitor.TabToAsync(visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }));
        await visitor.Page.Keyboard.PressAsync("Space");

        await visitor.SeesButtonAsync("yours", "Yours, and paid");
        // The pay button is gone; the focus went to the button above it and not to nowhere.
        await Expect(visitor.BuyButton).ToBeFocusedAsync();
    }

    [Fact]
    public async Task Buy_WhenNotPaidInTime_SaysThatTheUnitWentBack()
    {
        var id = await shop.CreateOpenSaleAsync("Not paid in time", paymentTimeout: "PT5S");
        await using var visitor = await shop.VisitAsync();

        await visitor.BuyAsync(id);

        await Expect(visitor.Advice).ToContainTextAsync("not paid in time", new() { Timeout = 60_000 });
    }

    [Fact]
    public async Task Buy_WhenGuestsAreNotServed_SaysWhereBuyingHappens()
    {
        var id = await shop.CreateOpenSaleAsync("No guests");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.RouteAsync("**/v1/guest-sessions", route => route.FulfillAsync(new() { Status = 404, ContentType = "application/problem+json", Body = "{}" }));
        await visitor.GoToSaleAsync(id);
        await visitor.SeesButtonAsync("open", "Buy now");

        await visitor.BuyButton.ClickAsync();

        await Expect(visitor.Advice).ToContainTextAsync("Log in with your account");
    }
}
