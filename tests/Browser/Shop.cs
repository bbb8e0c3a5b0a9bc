using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Playwright;

namespace Sluice.Tests.Browser;

/// <summary>A running shop, a browser to visit it with, and the shop owner's side of the HTTP API.</summary>
public sealed class Shop : IAsyncLifetime
{
    private readonly TempFolder _data = new();
    private ServerProcess? _server;
    private Axe? _axe;
    private IPlaywright? _playwright;
    private IBrowser? _browser;
    private HttpClient? _owner;
    private HttpClient? _anybody;

    internal Uri Address => new(_server!.Url);

    internal Axe Axe => _axe!;

    public async ValueTask InitializeAsync()
    {
        Assertions.SetDefaultExpectTimeout(20_000);
        _axe = await Axe.LoadAsync();
        _server = new ServerProcess("dotnet", [Programs.Server, "serve", "--data", _data.Path, "--demo"]);
        await _server.StartAsync();
        _anybody = new HttpClient { BaseAddress = Address };
        _owner = new HttpClient { BaseAddress = Address };
        _owner.DefaultRequestHeaders.Add("X-Api-Key", (await File.ReadAllTextAsync(_data.File("admin.key"))).Trim());
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = "/usr/bin/chromium",
            Args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
        _owner?.Dispose();
        _anybody?.Dispose();
        if (_server is not null)
            await _server.DisposeAsync();
        _data.Dispose();
    }

    /// <summary>A new visitor with empty storage, on a phone unless a width is given.</summary>
    internal async Task<Visitor> VisitAsync(int width = 360, ColorScheme scheme = ColorScheme.Light, bool scripts = true)
    {
        var context = await _browser!.NewContextAsync(new()
        {
            BaseURL = Address.OriginalString,
            ViewportSize = new() { Width = width, Height = width < 600 ? 780 : 900 },
            ColorScheme = scheme,
            JavaScriptEnabled = scripts,
            Locale = "en-GB",
            TimezoneId = "Europe/Berlin",
        });
        context.SetDefaultTimeout(20_000);
        return new Visitor(this, context, await context.NewPageAsync());
    }

    /// <summary>The server's clock.</summary>
    internal async Task<DateTimeOffset> NowAsync() =>
        (await _anybody!.GetFromJsonAsync<JsonElement>("/v1/time")).GetProperty("now").GetDateTimeOffset();

    /// <summary>Makes a sale and answers its id. Without <paramref name="opensAt"/> it is a draft.</summary>
    internal async Task<string> CreateSaleAsync(string title, int stockUnits = 10, DateTimeOffset? opensAt = null, string? paymentTimeout = null)
    {
        var request = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["sku"] = "kettle", ["title"] = title, ["priceCents"] = 4900, ["listPriceCents"] = 7900, ["currency"] = "EUR", ["stockUnits"] = stockUnits,
        };
        if (opensAt is { } at)
            request["opensAt"] = at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'");
        if (paymentTimeout is not null)
            request["paymentTimeout"] = paymentTimeout;
        var sale = await PostAsync(_owner!, "/v1/flash-sales", request);
        return sale.GetProperty("id").GetString()!;
    }

    internal async Task<string> CreateOpenSaleAsync(string title, int stockUnits = 10, string? paymentTimeout = null)
    {
        var id = await CreateSaleAsync(title, stockUnits, paymentTimeout: paymentTimeout);
        await OpenAsync(id);
        return id;
    }

    internal Task OpenAsync(string saleId) => PostAsync(_owner!, $"/v1/flash-sales/{saleId}/open", null);

    internal Task PauseAsync(string saleId) => PostAsync(_owner!, $"/v1/flash-sales/{saleId}/pause", null);

    internal Task CloseAsync(string saleId) => PostAsync(_owner!, $"/v1/flash-sales/{saleId}/close", null);

    internal async Task PutProductAsync(string sku, string title, long amountCents)
    {
        using var answer = await _owner!.PutAsJsonAsync($"/v1/products/{sku}", new { title, prices = new[] { new { currency = "EUR", amountCents } } });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>Makes a template that issues coupons of 5 euros and answers its id.</summary>
    internal async Task<string> CreateCouponTemplateAsync(string title)
    {
        var template = await PostAsync(_owner!, "/v1/coupon-templates", new { title, kind = "fixed", amountOffCents = 500, minimumCents = 2_000, currency = "EUR", units = 10, validUntil = "2059-01-01T00:00:00Z" });
        var id = template.GetProperty("id").GetString()!;
        await PostAsync(_owner!, $"/v1/coupon-templates/{id}/open", null);
        return id;
    }

    /// <summary>Puts something of the catalogue as it is written.</summary>
    internal async Task PutAsync(string path, string json)
    {
        using var body = new StringContent(json, System.Text.Encoding.UTF8, "application/json");
        using var answer = await _owner!.PutAsync(path, body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    internal Task AddStockAsync(string sku, int addUnits) => PostAsync(_owner!, $"/v1/products/{sku}/stock", new { addUnits });

    private static async Task<JsonElement> PostAsync(HttpClient caller, string path, object? body)
    {
        using var answer = await caller.PostAsync(path, body is null ? null : JsonContent.Create(body));
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, $"POST {path} answered {(int)answer.StatusCode}: {text}");
        return JsonDocument.Parse(text).RootElement;
    }
}
