using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>Products, categories, lists, searches and imports over HTTP, and the pages that people see of them.</summary>
[Collection(nameof(HttpShop))]
public sealed class CatalogTests(HttpShop shop)
{
    private readonly string mark = $"c{Guid.NewGuid():N}"[..12];

    [Fact]
    public async Task Product_WithEverything_ComesBackAsItWasPutAndOnlyAChangeRaisesItsVersion()
    {
        await PutCategoryAsync(mark);
        var body = $$"""
            {"title":"Kettle","description":"Copper.","images":[{"url":"/img/kettle.svg","alt":"A kettle","width":320,"height":320},{"url":"/img/mug.svg"}],
             "prices":[{"currency":"EUR","amountCents":4900,"formerCents":7900},{"currency":"EUR","amountCents":4500,"kind":"member"},{"currency":"JPY","amountCents":8000}],
             "categories":["{{mark}}"],"attributes":[{"name":"Volume","value":"1.5 l"}],"isListed":true}
            """;

        var made = (await PutAsync(mark, body)).Json;
        var again = (await PutAsync(mark, body)).Json;
        var changed = (await PutAsync(mark, body.Replace("4900", "4800", StringComparison.Ordinal))).Json;

        Assert.Equal(1L, (long)made["version"]!);
        Assert.Equal(made.ToJsonString(), again.ToJsonString());
        Assert.Equal((2L, 4_800L), ((long)changed["version"]!, (long)changed["prices"]![0]!["amountCents"]!));
        Assert.Equal(changed.ToJsonString(), (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{mark}", "public")).Text);
        Assert.Equal(("/img/kettle.svg", "retail", "member"), ((string?)changed["imageUrl"], (string?)changed["prices"]![0]!["kind"], (string?)changed["prices"]![1]!["kind"]));
    }

    [Fact]
    public async Task Description_OfSeveralLines_KeepsThemOnThePageAndIsOneLineInItsHead()
    {
        var made = await PutAsync(mark, """{"title":"Kettle","description":"Copper.\r\n\r\nHolds a litre."}""");

        Assert.Equal("Copper.\n\nHolds a litre.", (string?)made.Json["description"]);
        var page = (await shop.SendAsync(HttpMethod.Get, $"/products/{mark}", "public")).Text;
        Assert.Contains("<p>Copper.&#xA;&#xA;Holds a litre.</p>", page, StringComparison.Ordinal);
        Assert.Contains("<meta name=\"description\" content=\"Copper.  Holds a litre.\">", page, StringComparison.Ordinal);
        Assert.Equal([mark], await FindAsync($"{mark} litre"));
        foreach (var wrong in new[] { "\\n", "a\\tb", "a\\u0000b", "a\\u202eb", new string('a', 4_001) })
        {
            Assert.Equal("invalid-request", (await shop.SendAsync(HttpMethod.Put, $"/v1/products/{mark}", "server", $$"""{"title":"Kettle","description":"{{wrong}}"}""")).Code);
        }
    }

    [Fact]
    public async Task Picture_InSeveralWidths_IsForTheBrowserToChooseFrom()
    {
        const string Sizes = """[{"url":"/img/mug.svg","width":640},{"url":"/img/lamp.svg","width":160}]""";
        var body = $$"""{"title":"Wide","images":[{"url":"/img/kettle.svg","width":320,"height":320,"sizes":{{Sizes}}}]}""";
        var made = await PutAsync(mark, body);

        Assert.Equal(Sizes, made.Json["images"]![0]!["sizes"]!.ToJsonString());
        Assert.Contains("srcset=\"/img/lamp.svg 160w, /img/kettle.svg 320w, /img/mug.svg 640w\" sizes=", (await shop.SendAsync(HttpMethod.Get, $"/products/{mark}", "public")).Text, StringComparison.Ordinal);
        foreach (var wrong in new[] { """[{"url":"https://evil.example/a.svg","width":1}]""", """[{"url":"/a.svg"}]""", """[{"url":"/a.svg","width":0}]""", """[{"url":"/a.svg","width":5},{"url":"/b.svg","width":5}]""", $"[{string.Join(',', Enumerable.Range(1, 9).Select(width => $$"""{"url":"/a.svg","width":{{width}}}"""))}]" })
        {
            Assert.Equal("invalid-request", (await shop.SendAsync(HttpMethod.Put, $"/v1/products/{mark}", "server", body.Replace(Sizes, wrong, StringComparison.Ordinal))).Code);
        }
    }

    [Fact]
    public async Task Product_ThatIsGone_IsNowhereAndComesBackWithAHigherVersion()
    {
        var first = (long)(await PutAsync(mark, $$"""{"title":"{{mark}} one"}""")).Json["version"]!;

        Assert.Equal(204, (await shop.SendAsync(HttpMethod.Delete, $"/v1/products/{mark}", "server")).Status);

        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{mark}", "public")).Status);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Delete, $"/v1/products/{mark}", "server")).Status);
        Assert.Empty(await FindAsync(mark));
        Assert.DoesNotContain(mark, await ListAsync(""));
        Assert.True((long)(await PutAsync(mark, $$"""{"title":"{{mark}} one"}""")).Json["version"]! > first + 1);
        Assert.Equal([mark], await FindAsync(mark));
    }

    [Fact]
    public async Task List_WalkedPageByPage_HasEachProductOnceNewestFirstAndACategoryThoseBelowIt()
    {
        await PutCategoryAsync(mark);
        await PutCategoryAsync(mark + "-b", mark);
        await PutCategoryAsync(mark + "-c", mark + "-b");
        for (var i = 0; i < 7; i++)
        {
            await PutAsync($"{mark}-{i}", $$"""{"title":"P","categories":["{{mark}}{{(i % 3) switch { 0 => "", 1 => "-b", _ => "-c" }}}"],"isListed":{{(i == 6 ? "false" : "true")}}}""");
        }

        Assert.Equal(Skus(5, 4, 3, 2, 1, 0), await ListAsync($"&category={mark}"));
        Assert.Equal(Skus(5, 4, 2, 1), await ListAsync($"&category={mark}-b"));
        Assert.Equal(Skus(5, 2), await ListAsync($"&category={mark}-c"));

        IEnumerable<string> Skus(params int[] numbers) => numbers.Select(number => $"{mark}-{number}");
    }

    [Fact]
    public async Task List_AfterAnyChange_IsNewAtOnceAndWithoutOneIsNotSentAgain()
    {
        var list = await shop.SendAsync(HttpMethod.Get, "/v1/products", "public");
        var known = new Dictionary<string, string> { ["If-None-Match"] = list.Headers.ETag!.ToString() };
        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Get, "/v1/products", "public", (string?)null, known)).Status);
        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Get, $"/v1/search?q={mark}", "public", (string?)null, known)).Status);

        await PutAsync(mark, """{"title":"New"}""");

        var changed = await shop.SendAsync(HttpMethod.Get, "/v1/products", "public", (string?)null, known);
        Assert.Equal((200, mark), (changed.Status, (string?)changed.Json["items"]![0]!["sku"]));
        await PutCategoryAsync(mark);
        Assert.Contains(mark, (await shop.SendAsync(HttpMethod.Get, "/v1/categories", "public")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Category_InTheWrongPlace_IsRefusedAndNothingChanges()
    {
        string[] chain = [.. Enumerable.Range(0, 5).Select(i => $"{mark}-{i}")];
        for (var i = 0; i < chain.Length; i++)
        {
            await PutCategoryAsync(chain[i], i == 0 ? null : chain[i - 1]);
        }

        var before = (await shop.SendAsync(HttpMethod.Get, "/v1/categories", "public")).Text;
        foreach (var (slug, parent) in new[] { (chain[0], chain[0]), (chain[0], chain[4]), (mark + "-6th", chain[4]), (mark + "-lost", mark + "-nowhere") })
        {
            var refused = await shop.SendAsync(HttpMethod.Put, $"/v1/categories/{slug}", "server", $$"""{"title":"T","parent":"{{parent}}"}""");
            Assert.Equal((409, "category-misplaced"), (refused.Status, refused.Code));
        }

        await PutAsync(mark, $$"""{"title":"P","categories":["{{chain[4]}}"]}""");
        Assert.Equal("category-in-use", (await shop.SendAsync(HttpMethod.Delete, $"/v1/categories/{chain[0]}", "server")).Code);
        Assert.Equal("category-in-use", (await shop.SendAsync(HttpMethod.Delete, $"/v1/categories/{chain[4]}", "server")).Code);
        Assert.Equal(before, (await shop.SendAsync(HttpMethod.Get, "/v1/categories", "public")).Text);

        await shop.SendAsync(HttpMethod.Delete, $"/v1/products/{mark}", "server");
        Assert.Equal(204, (await shop.SendAsync(HttpMethod.Delete, $"/v1/categories/{chain[4]}", "server")).Status);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/v1/products?category={chain[4]}", "public")).Status);
    }

    [Theory]
    [InlineData("""{"title":"T","images":[{"url":"https://elsewhere.example/x.png"}]}""", "images")]
    [InlineData("""{"title":"T","images":[{"url":"//elsewhere.example/x.png"}]}""", "images")]
    [InlineData("""{"title":"T","images":[{"url":"javascript:alert(1)"}]}""", "images")]
    [InlineData("""{"title":"T","images":[{"url":"/img/../../etc/passwd"}]}""", "images")]
    [InlineData("""{"title":"T","images":[{"url":"/img/a.png","width":10}]}""", "images")]
    [InlineData("""{"title":"T","images":[null]}""", "images")]
    [InlineData("""{"title":"T","imageUrl":"/img/b.png","images":[{"url":"/img/a.png"}]}""", "imageUrl")]
    [InlineData("""{"title":"T","prices":[{"currency":"eur","amountCents":1}]}""", "prices")]
    [InlineData("""{"title":"T","prices":[{"currency":"EUR","amountCents":-1}]}""", "prices")]
    [InlineData("""{"title":"T","prices":[{"currency":"EUR"}]}""", "prices")]
    [InlineData("""{"title":"T","prices":[{"currency":"EUR","amountCents":1},{"currency":"EUR","amountCents":2,"kind":"retail"}]}""", "prices")]
    [InlineData("""{"title":"T","prices":[null]}""", "prices")]
    [InlineData("""{"title":"T","categories":["a","a"]}""", "categories")]
    [InlineData("""{"title":"T","categories":["no-such-category"]}""", "categories")]
    [InlineData("""{"title":"T","categories":[null]}""", "categories")]
    [InlineData("""{"title":"T","attributes":[{"name":"","value":"x"}]}""", "attributes")]
    [InlineData("""{"title":"T","attributes":[null]}""", "attributes")]
    public async Task Product_ThatCannotBe_IsRefusedWithItsFieldNamed(string body, string field)
    {
        var refused = await PutAsync(mark, body);

        Assert.Equal((400, "invalid-request"), (refused.Status, refused.Code));
        Assert.Contains($"'{field}'", (string?)refused.Json["detail"], StringComparison.Ordinal);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{mark}", "public")).Status);
    }

    [Theory]
    [InlineData("images", """{"url":"/img/a.png"}""", 13)]
    [InlineData("prices", """{"currency":"EUR","amountCents":1}""", 21)]
    [InlineData("categories", "\"a\"", 11)]
    [InlineData("attributes", """{"name":"n","value":"v"}""", 51)]
    public async Task List_ThatIsTooLong_IsRefused(string field, string element, int times) =>
        Assert.Equal("invalid-request", (await PutAsync(mark, $$"""{"title":"T","{{field}}":[{{string.Join(',', Enumerable.Repeat(element, times))}}]}""")).Code);

    [Fact]
    public async Task Import_WithBadRows_NamesEachOfThemTakesTheOthersAndIsTheSameTwice()
    {
        await PutCategoryAsync(mark);
        var rows = $$"""
            [{"sku":"{{mark}}-a","title":"A","categories":["{{mark}}"]},{"sku":"{{mark}}-b","title":""},null,{"sku":"{{mark}}-a","title":"A again"},
             {"sku":"{{mark}}-c","title":"C","categories":["nowhere"],"prices":[]},{"sku":"../x","title":"D","prices":[{"currency":"EUR"}]},{"sku":"{{mark}}-e","title":"E"}]
            """;

        var dry = await ImportAsync($$"""{"dryRun":true,"products":{{rows}}}""");
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/v1/products/{mark}-a", "public")).Status);
        var first = await ImportAsync($$"""{"products":{{rows}}}""");
        var list = await shop.SendAsync(HttpMethod.Get, "/v1/products", "public");
        var second = await ImportAsync($$"""{"products":{{rows}}}""");

        Assert.Equal(first.ToJsonString(), dry.ToJsonString());
        Assert.Equal((2, 0, 0), ((int)first["created"]!, (int)first["changed"]!, (int)first["unchanged"]!));
        Assert.Equal((0, 0, 2), ((int)second["created"]!, (int)second["changed"]!, (int)second["unchanged"]!));
        Assert.Equal(
            ["1 title", "2 sku", "3 sku", "4 categories", "5 prices", "5 sku"],
            first["refused"]!.AsArray().Select(row => $"{row!["row"]} {row["field"]}").Order(StringComparer.Ordinal));
        Assert.Equal("A", (string?)(await shop.SendAsync(HttpMethod.Get, $"/v1/products/{mark}-a", "public")).Json["title"]);
        Assert.Equal(list.Headers.ETag, (await shop.SendAsync(HttpMethod.Get, "/v1/products", "public")).Headers.ETag);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData(null)]
    public async Task Import_OfTooMuchOrNothing_IsRefused(string? rows)
    {
        rows ??= $"[{string.Join(',', Enumerable.Range(0, 201).Select(i => $$"""{"sku":"s{{i}}","title":"T"}"""))}]";
        Assert.Equal("invalid-request", (await shop.SendAsync(HttpMethod.Post, "/v1/imports/products", "server", $$"""{"products":{{rows}}}""")).Code);
    }

    [Fact]
    public async Task Page_OfAProductWithMarkupInIt_ShowsItAsItWasWritten()
    {
        const string Evil = """</script><script>alert(1)</script>" onload="x" '{{7*7}}' {% include 'head' %}""";
        await PutAsync(mark, new JsonObject { ["title"] = Evil, ["description"] = Evil, ["attributes"] = new JsonArray(new JsonObject { ["name"] = "<b>", ["value"] = Evil }) }.ToJsonString());

        foreach (var path in new[] { $"/products/{mark}", "/products", $"/search?q={Uri.EscapeDataString(Evil[..60])}" })
        {
            var page = await shop.SendAsync(HttpMethod.Get, path, "public");
            Assert.Equal((200, "text/html"), (page.Status, page.ContentType));
            Assert.DoesNotContain("<script>", page.Text, StringComparison.Ordinal);
            Assert.DoesNotContain("\" onload", page.Text, StringComparison.Ordinal);
            Assert.DoesNotContain("<b>", page.Text, StringComparison.Ordinal);
            Assert.Contains("&lt;script&gt;alert(1)", page.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Page_ThatDidNotChange_IsNotSentAgainAndAfterAChangeIs()
    {
        await PutAsync(mark, """{"title":"One"}""");
        var page = await shop.SendAsync(HttpMethod.Get, $"/products/{mark}", "public");
        var known = new Dictionary<string, string> { ["If-None-Match"] = page.Headers.ETag!.ToString() };
        Assert.Equal(304, (await shop.SendAsync(HttpMethod.Get, $"/products/{mark}", "public", (string?)null, known)).Status);

        await PutAsync(mark, """{"title":"Two"}""");

        Assert.Contains("<h1 id=\"title\">Two</h1>", (await shop.SendAsync(HttpMethod.Get, $"/products/{mark}", "public", (string?)null, known)).Text, StringComparison.Ordinal);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/products/{mark}-x", "public")).Status);
        Assert.Equal(404, (await shop.SendAsync(HttpMethod.Get, $"/categories/{mark}-x", "public")).Status);
    }

    private Task<HttpAnswer> PutAsync(string sku, string body) => shop.SendAsync(HttpMethod.Put, $"/v1/products/{sku}", "server", body);

    private async Task PutCategoryAsync(string slug, string? parent = null)
    {
        var answer = await shop.SendAsync(HttpMethod.Put, $"/v1/categories/{slug}", "server", new JsonObject { ["title"] = slug, ["parent"] = parent }.ToJsonString());
        Assert.True(answer.Status == 200, answer.Text);
    }

    private async Task<JsonNode> ImportAsync(string body)
    {
        var answer = await shop.SendAsync(HttpMethod.Post, "/v1/imports/products", "server", body);
        Assert.True(answer.Status == 200, answer.Text);
        return answer.Json;
    }

    private async Task<IReadOnlyList<string>> FindAsync(string words) =>
        [.. (await shop.SendAsync(HttpMethod.Get, $"/v1/search?q={Uri.EscapeDataString(words)}", "public")).Json["items"]!.AsArray().Select(item => (string)item!["sku"]!)];

    private async Task<IReadOnlyList<string>> ListAsync(string filter)
    {
        var skus = new List<string>();
        string? cursor = null;
        do
        {
            var page = (await shop.SendAsync(HttpMethod.Get, $"/v1/products?limit=2{filter}{(cursor is null ? "" : $"&cursor={cursor}")}", "public")).Json;
            skus.AddRange(page["items"]!.AsArray().Select(item => (string)item!["sku"]!));
            cursor = (string?)page["nextCursor"];
        }
        while (cursor is not null && skus.Count < 1_000);

        Assert.Equal(skus.Count, skus.Distinct(StringComparer.Ordinal).Count());
        return skus;
    }
}
