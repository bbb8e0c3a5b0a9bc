using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

public sealed class CertificateTests(Shop shop)
{
    [Fact]
    public async Task Certificate_OfASoldOutSale_ReadsAsAPage()
    {
        var id = await shop.CreateOpenSaleAsync("Certified", stockUnits: 1);
        await using var visitor = await shop.VisitAsync();
        await visitor.BuyAsync(id);
        await visitor.Page.GetByRole(AriaRole.Button, new() { Name = "Pay €49.00" }).ClickAsync();
        await visitor.SeesButtonAsync("yours", "Yours, and paid");
        await shop.CloseAsync(id);

        await visitor.Page.GetByRole(AriaRole.Link, new() { Name = "Read this sale’s certificate" }).ClickAsync();

        var page = visitor.Page;
        await Expect(page.Locator("#verdict")).ToHaveTextAsync("Held: 1 of 1 sold, nothing lost, nothing sold twice.");
        await Expect(page.Locator("#figures dt")).ToHaveCountAsync(5);
        await Expect(page.Locator("#meaning")).ToContainTextAsync("Claims accepted: 1, orders written: 1.");
        await Expect(page.Locator("#checks tr[data-holds='true']").First).ToBeVisibleAsync();
        await Expect(page.Locator("#checks tr[data-holds='false']")).ToHaveCountAsync(0);
        await Expect(page.Locator("#signature")).ToContainTextAsync("Your browser has checked the signature");
        await Expect(page.GetByText("./sluice verify certificate.json")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task Certificate_WhenItWasChangedOnTheWay_IsNotTrusted()
    {
        var id = await shop.CreateOpenSaleAsync("Tampered");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.RouteAsync("**/certificate", async route =>
        {
            if (route.Request.ResourceType == "document")
            {
                await route.ContinueAsync();
                return;
            }

            var answer = await route.FetchAsync();
            await route.FulfillAsync(new() { Response = answer, Body = (await answer.TextAsync()).Replace("\"title\":\"Tampered\"", "\"title\":\"Something else\"") });
        });

        await visitor.Page.GotoAsync($"/sales/{id}/certificate");

        await Expect(visitor.Page.Locator("#signature")).ToContainTextAsync("Do not trust it");
    }

    [Fact]
    public async Task Certificate_Downloaded_IsTheSignedFile()
    {
        var id = await shop.CreateOpenSaleAsync("Downloaded");
        await using var visitor = await shop.VisitAsync();
        await visitor.Page.GotoAsync($"/sales/{id}/certificate");

        var download = await visitor.Page.RunAndWaitForDownloadAsync(() => visitor.Page.GetByRole(AriaRole.Link, new() { Name = "Download the certificate" }).ClickAsync());

        Assert.Equal($"certificate-{id}.json", download.SuggestedFilename);
        await using var file = await download.CreateReadStreamAsync();
        using var certificate = await System.Text.Json.JsonDocument.ParseAsync(file, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(3, certificate.RootElement.GetProperty("jws").GetString()!.Split('.').Length);
    }
}
