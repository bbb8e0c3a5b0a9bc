using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>A buyer finds the own coupons, uses one at an order, changes their mind, and pays less in the end.</summary>
public sealed class CouponTests(Shop shop)
{
    [Theory]
    [InlineData(360, ColorScheme.Dark)]
    [InlineData(1280, ColorScheme.Light)]
    public async Task Coupon_OfAnAccount_IsOnItsPageAndTakesItsPartOffAnOrder(int width, ColorScheme scheme)
    {
        var (sale, template) = (await shop.CreateOpenSaleAsync("Bought with a coupon"), await shop.CreateCouponTemplateAsync("Welcome back"));
        await using var visitor = await shop.VisitAsync(width, scheme);
        var page = visitor.Page;
        await page.GotoAsync("/account#register");
        await page.Locator("#name").FillAsync("Dot");
        await page.Locator("#email").FillAsync($"dot-{Guid.NewGuid():N}@example.org");
        await page.Locator("#password").FillAsync("coupons at least");
        await page.GetByRole(AriaRole.Button, new() { Name = "Register", Exact = true }).ClickAsync();
        await Expect(page.Locator("#coupons")).ToHaveTextAsync("None to use right now.");
        Assert.Equal(201, await visitor.GetCouponAsync(template));
        await page.ReloadAsync();
        await Expect(page.Locator("#coupons li")).ToContainTextAsync("€5.00 off Welcome back");
        await Expect(page.Locator("#coupons li")).ToContainTextAsync("orders from €20.00");
        await ExpectNothingWrongAsync(visitor, "an account with a coupon");

        await page.GotoAsync($"/orders/{await visitor.BuyAsync(sale)}");
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€49.00");
        await Expect(page.GetByLabel("Use one of yours")).ToContainTextAsync("€5.00 off: Welcome back");
        await ExpectNothingWrongAsync(visitor, "an order and a coupon");
        await page.GetByRole(AriaRole.Button, new() { Name = "Use it" }).ClickAsync();
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€44.00, €5.00 off with a coupon");
        await ExpectNothingWrongAsync(visitor, "an order with a coupon");

        await page.GetByRole(AriaRole.Button, new() { Name = "Take it off" }).ClickAsync();
        await Expect(page.Locator("#amount")).ToHaveTextAsync("€49.00");
        await page.GetByRole(AriaRole.Button, new() { Name = "Use it" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Pay €44.00" }).ClickAsync();

        await Expect(page.Locator("#status")).ToHaveTextAsync("Paid");
        await Expect(page.Locator("#coupon")).ToBeHiddenAsync();
        await page.GotoAsync("/account");
        await Expect(page.Locator("#coupons")).ToHaveTextAsync("None to use right now.");
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
