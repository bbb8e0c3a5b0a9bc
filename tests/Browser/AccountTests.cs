using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>Somebody who registers, buys, logs out and in again finds what is theirs.</summary>
public sealed class AccountTests(Shop shop)
{
    [Theory]
    [InlineData(360, ColorScheme.Dark)]
    [InlineData(1280, ColorScheme.Light)]
    public async Task Account_RegisteredOnItsPage_BuysAndFindsTheOrderAfterLoggingInAgain(int width, ColorScheme scheme)
    {
        var sale = await shop.CreateOpenSaleAsync("Bought by an account");
        await using var visitor = await shop.VisitAsync(width, scheme);
        var (page, email) = (visitor.Page, $"cat-{Guid.NewGuid():N}@example.org");
        await page.GotoAsync("/account");
        await ExpectNothingWrongAsync(visitor, "logged out");

        await page.GetByRole(AriaRole.Button, new() { Name = "New here? Register" }).ClickAsync();
        await page.Locator("#name").FillAsync("Cat");
        await page.Locator("#email").FillAsync(email);
        await page.Locator("#password").FillAsync("short");
        await page.GetByRole(AriaRole.Button, new() { Name = "Register", Exact = true }).ClickAsync();
        await Expect(page.Locator("#sign-in-says")).Not.ToBeEmptyAsync();
        await page.Locator("#password").FillAsync("nine lives at least");
        await page.GetByRole(AriaRole.Button, new() { Name = "Register", Exact = true }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1, Name = "Hello, Cat" })).ToBeVisibleAsync();
        await Expect(page.GetByText("No orders yet")).ToBeVisibleAsync();

        var order = await visitor.BuyAsync(sale);
        await page.GotoAsync("/account");
        await Expect(page.Locator($"a[href='/orders/{order}']")).ToHaveTextAsync("Bought by an account");
        await page.GetByText("Add an address").ClickAsync();
        await page.Locator("#a-name").FillAsync("Cat");
        await page.Locator("#a-line1").FillAsync("9 Lane");
        await page.Locator("#a-postal").FillAsync("YO1 7HH");
        await page.Locator("#a-city").FillAsync("York");
        await page.Locator("#a-country").FillAsync("gb");
        await page.GetByRole(AriaRole.Button, new() { Name = "Add it" }).ClickAsync();
        await Expect(page.Locator("#addresses")).ToContainTextAsync("9 Lane, YO1 7HH York, GB");
        await ExpectNothingWrongAsync(visitor, "logged in");

        await page.GetByRole(AriaRole.Button, new() { Name = "Log out" }).ClickAsync();
        await page.Locator("#email").FillAsync(email);
        await page.Locator("#password").FillAsync("another password");
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in", Exact = true }).ClickAsync();
        await Expect(page.Locator("#sign-in-says")).ToHaveTextAsync("E-mail and password do not go together.");
        await page.Locator("#password").FillAsync("nine lives at least");
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in", Exact = true }).ClickAsync();
        await Expect(page.Locator($"a[href='/orders/{order}']")).ToBeVisibleAsync();
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(visitor.RequestsElsewhere);
    }

    [Theory]
    [InlineData(360, ColorScheme.Light)]
    [InlineData(1280, ColorScheme.Dark)]
    public async Task Catalogue_FromTheListToAProductAndASearch_IsAccessibleFitsAndStaysOnItsOrigin(int width, ColorScheme scheme)
    {
        await shop.PutProductAsync("browsed", "Browsed teapot", 4_900);
        await using var visitor = await shop.VisitAsync(width, scheme);
        var page = visitor.Page;
        await page.GotoAsync("/");
        await page.GetByRole(AriaRole.Link, new() { Name = "Products" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToHaveTextAsync("Products");
        await ExpectNothingWrongAsync(visitor, "the list");

        await page.GetByLabel("Search the products").FillAsync("brow tea");
        await page.GetByRole(AriaRole.Button, new() { Name = "Search" }).ClickAsync();
        await ExpectNothingWrongAsync(visitor, "what was found");
        await page.GetByRole(AriaRole.Link, new() { Name = "Browsed teapot" }).ClickAsync();

        await Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToHaveTextAsync("Browsed teapot");
        await Expect(page.Locator(".price-now")).ToHaveTextAsync("€49.00");
        await Expect(page.Locator("#offer")).ToContainTextAsync("In no sale right now");
        await ExpectNothingWrongAsync(visitor, "a product");
        await page.GotoAsync("/search?q=nothing-has-this-word");
        await Expect(page.GetByText("Nothing has all these words")).ToBeVisibleAsync();
        await ExpectNothingWrongAsync(visitor, "nothing found");
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(visitor.RequestsElsewhere);
    }

    private async Task ExpectNothingWrongAsync(Visitor visitor, string where)
    {
        Assert.Empty((await shop.Axe.ViolationsAsync(visitor.Page)).Select(violation => $"{where}: {violation}"));
        Assert.True(await visitor.Page.EvaluateAsync<int>("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, $"{where} is wider than the screen");
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { Length: > 0 } folder)
            await visitor.Page.ScreenshotAsync(new() { Path = Path.Combine(folder, $"{where.Replace(' ', '-')}-{visitor.Page.ViewportSize!.Width}.png"), FullPage = true });
    }
}
