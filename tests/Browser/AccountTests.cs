using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>Somebody who registers, buys, logs out and in again finds what is theirs.</summary>
public sealed class AccountTests(Shop shop)
{
    // Elements with their attributes and texts, without the spaces between them. Which pictures may come later depends on the place in the list.
    private const string CardsOf =
        """
        prefix => {
          const told = node => node.nodeType === Node.TEXT_NODE ? node.data.trim()
            : `<${node.localName} ${[...node.attributes].filter(({ name }) => name !== 'loading').map(({ name, value }) => `${name}=${value}`).sort().join(' ')}>${[...node.childNodes].map(told).join('')}`;
          return [...document.querySelectorAll('#products .card')].filter(card => card.querySelector('a').getAttribute('href').startsWith(prefix)).map(told);
        }
        """;

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
        await CheckInAsync(visitor);

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
        await shop.PutAsync("/v1/categories/looked-at", """{"title":"Looked at"}""");
        await shop.PutAsync("/v1/categories/looked-at-below", """{"title":"Looked at more closely","parent":"looked-at"}""");
        await shop.PutAsync("/v1/products/pictured", """
            {"title":"Pictured kettle","description":"With pictures.","categories":["looked-at-below"],"prices":[{"currency":"EUR","amountCents":4900,"formerCents":5900}],"attributes":[{"name":"Colour","value":"Copper"}],
             "images":[{"url":"/img/kettle.svg","alt":"A kettle","width":320,"height":320,"sizes":[{"url":"/img/mug.svg","width":160}]},{"url":"/img/mug.svg","alt":"A mug","width":320,"height":320},{"url":"/img/lamp.svg","width":320,"height":320}]}
            """);
        await page.GotoAsync("/categories/looked-at");
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Looked at more closely" })).ToBeVisibleAsync();
        await ExpectNothingWrongAsync(visitor, "a category");
        await page.GetByRole(AriaRole.Link, new() { Name = "Pictured kettle" }).ClickAsync();
        await Expect(page.Locator(".pictures img")).ToHaveCountAsync(2);
        await Expect(page.Locator("#offer")).ToContainTextAsync("In no sale right now");
        await ExpectNothingWrongAsync(visitor, "a product with pictures");
        await page.GotoAsync("/search?q=nothing-has-this-word");
        await Expect(page.GetByText("Nothing has all these words")).ToBeVisibleAsync();
        await ExpectNothingWrongAsync(visitor, "nothing found");
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(visitor.RequestsElsewhere);
    }

    // The button keeps its place when it is pressed, and says what became of it, to eyes and to ears; loaded anew the page says the same.
    private async Task CheckInAsync(Visitor visitor)
    {
        var (page, button) = (visitor.Page, visitor.Page.Locator("#check-in"));
        await Expect(page.Locator("#points")).ToHaveTextAsync("0");
        await Expect(button).ToHaveTextAsync("Check in");
        await ExpectNothingWrongAsync(visitor, "not checked in");
        var before = await button.BoundingBoxAsync();
        await button.ClickAsync();

        await Expect(page.Locator("#points")).ToHaveTextAsync("10");
        await Expect(button).ToHaveTextAsync("Checked in today");
        await Expect(button).ToBeDisabledAsync();
        await Expect(button).ToBeFocusedAsync();
        await Expect(page.Locator("#streak")).ToHaveTextAsync("1 day in a row.");
        await Expect(page.Locator(".for-ears")).ToHaveTextAsync("Checked in: 10 points, 1 day in a row.");
        var after = await button.BoundingBoxAsync();
        Assert.Equal((before!.X, before.Y, before.Width, before.Height), (after!.X, after.Y, after.Width, after.Height));
        await ExpectNothingWrongAsync(visitor, "checked in");
        await page.ReloadAsync();
        await Expect(button).ToHaveTextAsync("Checked in today");
        await Expect(page.Locator("#points")).ToHaveTextAsync("10");
    }

    [Fact]
    public async Task CardsThatAreShownLater_AreMadeAsThoseThatCameWithThePage()
    {
        // The oldest ones come last: behind the first page of one category, on the first page of another.
        await shop.PutAsync("/v1/categories/many", """{"title":"Many"}""");
        await shop.PutAsync("/v1/categories/few", """{"title":"Few"}""");
        string[] few =
        [
            """{"title":"Wide & <i>narrow</i>","categories":["many","few"],"prices":[{"currency":"EUR","amountCents":100,"kind":"wholesale"},{"currency":"EUR","amountCents":4900,"formerCents":5900}],"images":[{"url":"/img/kettle.svg","width":320,"height":320,"sizes":[{"url":"/img/lamp.svg","width":640},{"url":"/img/mug.svg","width":160},{"url":"/img/chair.svg","width":320}]}]}""",
            """{"title":"Of unknown width","categories":["many","few"],"prices":[{"currency":"USD","amountCents":5,"formerCents":4}],"images":[{"url":"/img/kettle.svg","sizes":[{"url":"/img/mug.svg","width":160}]}]}""",
            """{"title":"One size","categories":["many","few"],"images":[{"url":"/img/kettle.svg"}]}""",
            """{"title":"No picture","categories":["many","few"]}""",
        ];
        for (var i = 0; i < few.Length; i++)
            await shop.PutAsync($"/v1/products/card-{i}", few[i]);
        for (var i = 0; i < 24; i++)
            await shop.PutAsync($"/v1/products/filler-{i}", """{"title":"One of many","categories":["many"]}""");
        await using var visitor = await shop.VisitAsync();
        var page = visitor.Page;

        await page.GotoAsync("/categories/few");
        await Expect(page.Locator("#products .card")).ToHaveCountAsync(few.Length);
        var came = await page.EvaluateAsync<string[]>(CardsOf, "/products/card-");
        await page.GotoAsync("/categories/many");
        await Expect(page.Locator("#products .card")).ToHaveCountAsync(24);
        await page.GetByRole(AriaRole.Button, new() { Name = "Show more" }).ClickAsync();
        await Expect(page.Locator("#products .card")).ToHaveCountAsync(24 + few.Length);

        Assert.Contains(came, card => card.Contains("srcset=/img/mug.svg 160w, /img/chair.svg 320w, /img/lamp.svg 640w", StringComparison.Ordinal));
        Assert.Equal(came, await page.EvaluateAsync<string[]>(CardsOf, "/products/card-"));
        Assert.Empty(await shop.Axe.ViolationsAsync(page));
        Assert.Empty(visitor.ScriptErrors);
    }

    private async Task ExpectNothingWrongAsync(Visitor visitor, string where)
    {
        Assert.Empty((await shop.Axe.ViolationsAsync(visitor.Page)).Select(violation => $"{where}: {violation}"));
        Assert.True(await visitor.Page.EvaluateAsync<int>("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, $"{where} is wider than the screen");
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { Length: > 0 } folder)
            await visitor.Page.ScreenshotAsync(new() { Path = Path.Combine(folder, $"{where.Replace(' ', '-')}-{visitor.Page.ViewportSize!.Width}.png"), FullPage = true });
    }
}
