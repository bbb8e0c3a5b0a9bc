using System.Text.Json.Nodes;

namespace Sluice.Tests.Integration.Http;

/// <summary>The addresses of an account.</summary>
[Collection(nameof(HttpShop))]
public sealed class AddressTests(HttpShop shop)
{
    [Fact]
    public async Task Address_AddedChangedAndDeleted_IsSeenAtOnceAndRaisesTheVersion()
    {
        var token = await NewUserAsync();
        var (empty, none) = await ListAsync(token);
        Assert.Empty(empty);

        var added = await AddAsync(token, "Ann");
        Assert.Equal(201, added.Status);
        var (one, first) = await ListAsync(token);
        Assert.Equal(added.Text, Assert.Single(one)!.ToJsonString());

        var id = (string)added.Json["id"]!;
        var put = await SendAsync(HttpMethod.Put, $"/v1/me/addresses/{id}", token, Body("Bob", isDefault: true));
        Assert.Equal((200, "Bob", true), (put.Status, (string?)put.Json["name"], (bool)put.Json["isDefault"]!));
        var (two, second) = await ListAsync(token);
        Assert.Equal(put.Text, Assert.Single(two)!.ToJsonString());

        Assert.Equal(204, (await SendAsync(HttpMethod.Delete, $"/v1/me/addresses/{id}", token)).Status);
        Assert.Equal(404, (await SendAsync(HttpMethod.Delete, $"/v1/me/addresses/{id}", token)).Status);
        var (three, third) = await ListAsync(token);
        Assert.Empty(three);
        Assert.Equal(["\"1\"", "\"2\"", "\"3\"", "\"4\""], [none, first, second, third]);
    }

    [Fact]
    public async Task Default_IsOneAtMost_WhoeverSaysItAtOnce()
    {
        var token = await NewUserAsync();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => AddAsync(token, $"{i}", isDefault: true)));

        var (addresses, _) = await ListAsync(token);
        Assert.Equal(8, addresses.Count);
        Assert.Single(addresses, address => (bool)address!["isDefault"]!);
    }

    [Fact]
    public async Task Addresses_AddedByManyAtOnce_AreTwentyAtMost()
    {
        var token = await NewUserAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => AddAsync(token, $"{i}")));

        Assert.Equal(20, answers.Count(answer => answer.Status == 201));
        Assert.All(answers.Where(answer => answer.Status != 201), answer => Assert.Equal((409, "too-many-addresses"), (answer.Status, answer.Code)));
        Assert.Equal(20, (await ListAsync(token)).Items.Count);
    }

    [Fact]
    public async Task Address_OfSomebodyElse_IsNone()
    {
        var (owner, other) = (await NewUserAsync(), await NewUserAsync());
        var id = (string)(await AddAsync(owner, "Ann")).Json["id"]!;
        var before = await ListAsync(owner);

        foreach (var caller in new[] { other, shop.Stranger })
        {
            Assert.Equal((404, "not-found"), await SendAsync(HttpMethod.Put, $"/v1/me/addresses/{id}", caller, Body("Eve")) is var put ? (put.Status, put.Code) : default);
            Assert.Equal((404, "not-found"), await SendAsync(HttpMethod.Delete, $"/v1/me/addresses/{id}", caller) is var delete ? (delete.Status, delete.Code) : default);
        }

        Assert.Equal(before.Items.ToJsonString(), (await ListAsync(owner)).Items.ToJsonString());
        Assert.Empty((await ListAsync(other)).Items);
    }

    [Fact]
    public async Task Address_AddedTwiceWithOneKey_IsOne()
    {
        var (token, other) = (await NewUserAsync(), await NewUserAsync());
        const string key = "the-key-of-two-users";
        var (first, again) = (await AddAsync(token, "Ann", key: key), await AddAsync(token, "Ann", key: key));

        Assert.Equal((201, 200, first.Text), (first.Status, again.Status, again.Text));
        Assert.Equal((422, "idempotency-key-reused"), await AddAsync(token, "Bob", key: key) is var reused ? (reused.Status, reused.Code) : default);
        Assert.Equal(201, (await AddAsync(other, "Bob", key: key)).Status);
        Assert.Single((await ListAsync(token)).Items);
    }

    private static JsonObject Body(string name, bool isDefault = false) => new()
    {
        ["name"] = name, ["line1"] = "1 Road", ["city"] = "Bonn", ["postalCode"] = "53111", ["country"] = "DE", ["isDefault"] = isDefault,
    };

    private async Task<string> NewUserAsync() => (await shop.RegisterAsync($"u-{Guid.NewGuid():N}@example.org")).Token;

    private async Task<(JsonArray Items, string? Tag)> ListAsync(string token) =>
        await SendAsync(HttpMethod.Get, "/v1/me/addresses", token) is var answer ? (answer.Json["items"]!.AsArray(), answer.Headers.ETag?.ToString()) : default;

    private Task<HttpAnswer> AddAsync(string token, string name, bool isDefault = false, string? key = null) =>
        SendAsync(HttpMethod.Post, "/v1/me/addresses", token, Body(name, isDefault), key is null ? [] : [("Idempotency-Key", key)]);

    private Task<HttpAnswer> SendAsync(HttpMethod method, string path, string token, JsonObject? body = null, params (string Name, string Value)[] headers) =>
        shop.SendAsync(method, path, $"Bearer {token}", body?.ToJsonString(), headers.ToDictionary(header => header.Name, header => header.Value));
}
