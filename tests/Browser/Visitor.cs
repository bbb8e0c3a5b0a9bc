using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Playwright;

namespace Sluice.Tests.Browser;

/// <summary>Somebody at a browser of their own, and what that browser did.</summary>
internal sealed class Visitor : IAsyncDisposable
{
    private readonly Shop _shop;
    private readonly IBrowserContext _context;
    private readonly ConcurrentQueue<IRequest> _requests = new();
    private readonly ConcurrentQueue<string> _scriptErrors = new();

    public Visitor(Shop shop, IBrowserContext context, IPage page)
    {
        _shop = shop;
        _context = context;
        Page = page;
        context.Request += (_, request) => _requests.Enqueue(request);
        page.PageError += (_, error) => _scriptErrors.Enqueue(error);
    }

    public IPage Page { get; }

    public ILocator BuyButton => Page.Locator(".buy");

    public ILocator Advice => Page.Locator("#advice");

    public IEnumerable<string> ScriptErrors => _scriptErrors;

    public IEnumerable<string> RequestsElsewhere =>
        _requests.Select(request => request.Url).Where(url => !url.StartsWith(_shop.Address.OriginalString, StringComparison.Ordinal));

    public IReadOnlyList<IRequest> ClaimsSent =>
        [.. _requests.Where(request => request.Method == "POST" && request.Url.EndsWith("/claims", StringComparison.Ordinal))];

    /// <summary>The different idempotency keys that were sent with claims.</summary>
    public IReadOnlySet<string> ClaimKeys => ClaimsSent.Select(request => request.Headers["idempotency-key"]).ToHashSet(StringComparer.Ordinal);

    public Task GoToSaleAsync(string saleId) => Page.GotoAsync($"/sales/{saleId}");

    /// <summary>The button is in one of its states: <c>waiting</c>, <c>open</c>, <c>holding</c>, <c>yours</c>, <c>gone</c>.</summary>
    public Task SeesButtonAsync(string look, string words) => Task.WhenAll(
        Assertions.Expect(BuyButton).ToHaveAttributeAsync("data-look", look),
        Assertions.Expect(BuyButton).ToContainTextAsync(words));

    /// <summary>Presses Buy and waits until the unit is theirs. Answers the order's id.</summary>
    public async Task<string> BuyAsync(string saleId)
    {
        await GoToSaleAsync(saleId);
        await SeesButtonAsync("open", "Buy now");
        await BuyButton.ClickAsync();
        await SeesButtonAsync("yours", "Yours: pay within");
        return await OrderIdAsync();
    }

    public async Task<string> OrderIdAsync()
    {
        var link = await Page.GetByRole(AriaRole.Link, new() { Name = "See your order" }).GetAttributeAsync("href");
        return link!.Split('/')[^1];
    }

    /// <summary>The orders this visitor has in a sale, as the server says.</summary>
    public async Task<IReadOnlyList<JsonElement>> OrdersAsync(string saleId)
    {
        var answer = await Page.EvaluateAsync<JsonElement>(
            """
            async () => {
              const { token } = JSON.parse(localStorage.getItem('sluice.session'));
              const response = await fetch('/v1/orders', { headers: { Authorization: `Bearer ${token}` } });
              return await response.json();
            }
            """);
        return [.. answer.GetProperty("items").EnumerateArray().Where(order => order.GetProperty("saleId").GetString() == saleId)];
    }

    /// <summary>Gets a coupon, as an app of the shop would.</summary>
    public Task<int> GetCouponAsync(string templateId) => Page.EvaluateAsync<int>(
        """
        async template => {
          const { token } = JSON.parse(localStorage.getItem('sluice.session'));
          const response = await fetch(`/v1/coupon-templates/${template}/claims`, { method: 'POST', headers: { Authorization: `Bearer ${token}`, Prefer: 'wait=20' } });
          return response.status;
        }
        """,
        templateId);

    /// <summary>Tab, until the element has the focus: what a visitor without a mouse does.</summary>
    public async Task TabToAsync(ILocator target)
    {
        const int stopsMax = 40;
        for (var stop = 0; stop < stopsMax; stop++)
        {
            await Page.Keyboard.PressAsync("Tab");
            if (await target.EvaluateAsync<bool>("element => element === document.activeElement"))
                return;
        }

        Assert.Fail($"{target} cannot be reached with the keyboard.");
    }

    public ValueTask DisposeAsync() => new(_context.CloseAsync());
}
