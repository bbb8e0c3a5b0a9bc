using System.Text.Json.Nodes;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>The same products and the same questions find the same on SQLite and on MariaDB.</summary>
public sealed class SearchTests
{
    private static readonly (string Sku, string Title, string Description, string Value)[] Products =
    [
        ("mug", "Ceramic mug", "Thrown by hand. Goes with the kettle.", "Stoneware"),
        ("mug-2", "Mug for two", "Ceramic as well", "2 l"),
        ("kettle", "Copper kettle", "Heats on gas", "Copper"),
        ("kyusu", "急須 茶器", "お茶をいれる", "常滑焼"),
        ("tee", "Tee für Kenner", "Grüner Tee aus Uji", "100 g"),
        ("samovar", "Самовар", "Тульский самовар, латунь", "Латунь"),
        ("percent", "100% wool_blanket", "50% off? No.", "Wool"),
        ("emoji", "Cup ☕ \U00020BB7野家", "", "x"),
    ];

    // Best first; of equals by sku.
    private static readonly (string Words, string[] Skus)[] Questions =
    [
        ("mug", ["mug", "mug-2"]),
        ("MUG", ["mug", "mug-2"]),
        ("ceramic mug", ["mug", "mug-2"]),
        ("mug ceramic two", ["mug-2"]),
        ("cer", ["mug", "mug-2"]),
        ("kettle", ["kettle", "mug"]),
        ("copper kettle", ["kettle"]),
        ("急須", ["kyusu"]),
        ("茶", ["kyusu"]),
        ("お茶", ["kyusu"]),
        ("須茶", []),
        ("für", ["tee"]),
        ("GRÜNER", ["tee"]),
        ("самовар", ["samovar"]),
        ("САМ", ["samovar"]),
        ("100", ["percent", "tee"]),
        ("%", []),
        ("wool%", ["percent"]),
        ("blanket", ["percent"]),
        ("_", []),
        ("' OR 1=1 --", []),
        ("\"mug\" NOT ceramic*", []),
        ("mug-2", ["mug-2"]),
        ("\U00020BB7野", ["emoji"]),
        ("☕", []),
        ("zzz", []),
    ];

    [Fact]
    public async Task Questions_OnSqlite_FindWhatTheyShould()
    {
        await using var server = await SluiceServer.StartAsync();
        await AskAsync(server);
    }

    [Fact]
    public async Task Questions_OnMariaDb_FindWhatTheyShould()
    {
        await using var sql = await MariaDbServer.StartAsync();
        await using var server = await SluiceServer.StartAsync([$"Sql:Connection={await sql.NewDatabaseAsync()}"]);
        await AskAsync(server);
    }

    private static async Task AskAsync(SluiceServer server)
    {
        foreach (var product in Products)
        {
            await server.ServerPutAsync($"/v1/products/{product.Sku}", new JsonObject
            {
                ["title"] = product.Title,
                ["description"] = product.Description.Length == 0 ? null : product.Description,
                ["attributes"] = new JsonArray(new JsonObject { ["name"] = "What", ["value"] = product.Value }),
            });
        }

        Assert.All(Questions, question => Assert.Equal(question.Skus, Find(question.Words)));

        // Page by page it is the same.
        var first = Ask("mug&limit=1");
        var second = Ask($"mug&limit=1&cursor={first["nextCursor"]}");
        Assert.Equal(("mug", "mug-2", null), ((string?)first["items"]![0]!["sku"], (string?)second["items"]![0]!["sku"], (string?)second["nextCursor"]));

        string[] Find(string words) => [.. Ask(Uri.EscapeDataString(words))["items"]!.AsArray().Select(item => (string)item!["sku"]!)];
        JsonNode Ask(string query) => JsonNode.Parse(server.Http.GetStringAsync($"/v1/search?q={query}").GetAwaiter().GetResult())!;
    }
}
