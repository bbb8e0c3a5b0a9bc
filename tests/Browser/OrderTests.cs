using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

public sealed class OrderTests(Shop shop)
{
    [Fact]
    public async Task Orders_WithoutAny_SaysWhatWillAppear()
    {
        await using var visitor = await shop.VisitAsync();

        await visitor.Page.GotoAsync("/orders");

        await Expect(visitor.Page.GetByText("No orders yet")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Orders_AfterABuy_ShowsTheStatusAndTheTimeLeft()
    {
        var id = await shop.CreateOpenSaleAsync("In the list");
        await using var visitor = await shop.VisitAsync();
        await visitor.BuyAsync(id);

        await visitor.Page.GetByRole(AriaRole.Link, new() { Name = "Your orders" }).ClickAsync();

        var row = visitor.Page.GetByRole(AriaRole.Listitem).Filter(new() { HasText = "In the list" });
        await Expect(row).ToContainTextAsync("Waiting for payment");
        await Expect(row).ToContainTextAsync("Pay within 14:");
    }

    [Fact]
    public async Task Order_WhenPaid_SaysPaid()
    {
        var id = await shop.CreateOpenSaleAsync("Paid on its page");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.GotoAsync($"/orders/{await visitor.BuyAsync(id)}");

        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }).ClickAsync();

        await Expect(visitor.Page.Locator("#status")).ToHaveTextAsync("Paid");
        await Expect(visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" })).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task Order_WhenTheQuestionIsAnsweredWithKeep_IsNotCancelled()
    {
        var id = await shop.CreateOpenSaleAsync("Kept");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.GotoAsync($"/orders/{await visitor.BuyAsync(id)}");

        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Cancel the order" }).ClickAsync();
        await visitor.Page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Keep the order" }).ClickAsync();

        await Expect(visitor.Page.GetByRole(AriaRole.Dialog)).ToBeHiddenAsync();
        Assert.Equal("pending", (await visitor.OrdersAsync(id))[0].GetProperty("state").GetString());
    }

    [Fact]
    public async Task Order_WhenCancelled_GivesItsUnitBack()
    {
        var id = await shop.CreateOpenSaleAsync("Given back", stockUnits: 3);
        await using var visitor = await shop.VisitAsync();

        await CancelAsync(visitor, await visitor.BuyAsync(id));

        await visitor.GoToSaleAsync(id);
        await Expect(visitor.Page.Locator("#stock")).ToContainTextAsync("3 of 3 left");
        await visitor.SeesButtonAsync("open", "Buy now");
    }

    [Fact]
    public async Task Order_OfSomebodyElse_IsNotShown()
    {
        var id = await shop.CreateOpenSaleAsync("Not yours");
        await using var buyer = await shop.VisitAsync();
        var orderId = await buyer.BuyAsync(id);
        await using var stranger = await shop.VisitAsync();

        await stranger.Page.GotoAsync($"/orders/{orderId}");

        await Expect(stranger.Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("There is no such order");
    }

    internal static async Task CancelAsync(Visitor visitor, string orderId)
    {
        await visitor.Page.GotoAsync($"/orders/{orderId}");
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Cancel the order" }).ClickAsync();
        await visitor.Page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Cancel the order" }).ClickAsync();
        await Expect(visitor.Page.Locator("#status")).ToHaveTextAsync("Cancelled");
    }
}
