using System.Buffers.Text;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using MySqlConnector;
using Sluice.Modules;
using Sluice.Operations.Nodes;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using StackExchange.Redis;
using Sluice.Tests.Integration.Contract;
using Sluice.Tests.Integration.Failure;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Cluster;

/// <summary>
/// Two nodes as services: one has accounts and catalogue, each in a database of its own; the other sells, and has pools and orders in the main one. Each SQL user may only do what docs/services.md says it needs,
/// so a statement that crosses is refused by the server.
/// </summary>
public sealed class TwoServices(Engines engines) : IAsyncLifetime
{
    private readonly TempFolder folder = new();
    private MariaDbServer maria = null!;
    private string[] shop = [];
    private RedisServer? redis, limits;

    /// <summary>Accounts and catalogue.</summary>
    public SluiceServer People { get; private set; } = null!;

    /// <summary>Sales, stocks, orders.</summary>
    public SluiceServer Shop { get; private set; } = null!;

    /// <summary>What the first of the two said when the other one had not made its tables.</summary>
    public (int Exit, string Text, string Says) TooEarly { get; private set; }

    /// <summary>The key that signs: not that of the file, a row in the main database.</summary>
    public string TokenKey { get; private set; } = "";

    public string Main { get; private set; } = "";

    public string Accounts { get; private set; } = "";

    public string Catalog { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        (redis, limits) = (await RedisServer.StartAsync(), await RedisServer.StartAsync());
        maria = await engines.MariaDbAsync();
        (Main, Accounts, Catalog) = (await NewDatabaseAsync(), await NewDatabaseAsync(), await NewDatabaseAsync());
        await DoAsync($"GRANT ALL ON {Main}.* TO '{User(Main)}'@'%' IDENTIFIED BY 'secret'; GRANT ALL ON {Accounts}.* TO '{User(Accounts)}'@'%' IDENTIFIED BY 'secret'; GRANT ALL ON {Catalog}.* TO '{User(Catalog)}'@'%' IDENTIFIED BY 'secret'; " +
            $"GRANT SELECT ON {Catalog}.* TO '{User(Main)}'@'%'; CREATE USER '{User(Main)}_people'@'%' IDENTIFIED BY 'secret'; GRANT CREATE ON {Main}.VersionInfo TO '{User(Main)}_people'@'%'");
        string[] both = [$"Redis:Connection={redis.Connection}", "Cache:SharedAge=01:00:00", "Accounts:PasswordIterations=100000", "Accounts:LogInsPerAddressBurst=100000"];
        string[] people =
        [
            .. both, "Modules=Accounts,Catalog", "NodeId=1", $"Sql:Connection={As($"{User(Main)}_people", Main)}", $"Accounts:Sql:Connection={As(User(Accounts), Accounts)}", $"Catalog:Sql:Connection={As(User(Catalog), Catalog)}",
            $"Accounts:Redis:Connection={limits.Connection}",
        ];

        // It makes its own tables and then misses those of the main database, where it makes none.
        TooEarly = await SluiceCommand.RunAsync(["serve", "--data", folder.Path, .. people.SelectMany(setting => new[] { "--set", setting })]);
        TokenKey = await NewTokenKeyAsync();
        shop = [.. both, "Modules=Coupons,FlashSales,Orders,Rewards,Stocks", "NodeId=2", $"Sql:Connection={As(User(Main), Main)}", $"Catalog:Sql:Connection={As(User(Main), Catalog)}"];
        Shop = await SluiceServer.StartAsync(shop, folder.Path);
        foreach (var right in (string[])["SELECT ON {0}.VersionInfo", "SELECT ON {0}.shard_map", "SELECT ON {0}.orders", "SELECT ON {0}.claims", "SELECT ON {0}.check_ins", "SELECT ON {0}.points_balances", "SELECT ON {0}.coupons", "SELECT ON {0}.coupon_templates", "SELECT, INSERT, UPDATE, DELETE ON {0}.token_keys"])
        {
            await DoAsync($"GRANT {string.Format(System.Globalization.CultureInfo.InvariantCulture, right, Main)} TO '{User(Main)}_people'@'%'");
        }

        // It was only there so that the user could see the database at all.
        await DoAsync($"REVOKE CREATE ON {Main}.VersionInfo FROM '{User(Main)}_people'@'%'");
        People = await SluiceServer.StartAsync(people, folder.Path);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var each in new IAsyncDisposable?[] { People, Shop, redis, limits })
        {
            await (each?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        folder.Dispose();
    }

    /// <summary><c>sluice publish</c> with the settings of the shop.</summary>
    public Task<(int Exit, string Text, string Says)> PublishAsync(string to) => SluiceCommand.RunAsync(["publish", "--folder", to, "--data", folder.Path, .. shop.SelectMany(setting => new[] { "--set", setting })]);

    /// <summary>Limits of log-ins that are counted in the Redis that sells, and in that of accounts.</summary>
    public async Task<(long Selling, long Own)> CountedLogInsAsync()
    {
        return (await CountAsync(redis!), await CountAsync(limits!));

        static async Task<long> CountAsync(RedisServer server)
        {
            await using var connection = await ConnectionMultiplexer.ConnectAsync($"{server.Connection},allowAdmin=true");
            return ((RedisResult[])(await connection.GetDatabase().ExecuteAsync("KEYS", "{rate:log-in*"))!).Length;
        }
    }

    /// <summary>Nodes that an nginx of these modules would send to.</summary>
    public async Task<IReadOnlyList<int>> NodesAsync(string modules)
    {
        await using var connection = await RedisConnection.OpenAsync(new RedisOptions { Connection = redis!.Connection }, folder.Path, NullLoggerFactory.Instance);
        return [.. (await new NodeRegistry(connection, new NodesOptions()).ListAsync()).Where(node => node.Node.Runs(modules)).Select(node => node.Node.NodeId)];
    }

    /// <summary>As the operator.</summary>
    public Task DoAsync(string statements) => maria.DoAsync(statements);

    public async Task<IReadOnlyList<string>> TablesAsync(string database)
    {
        await using var connection = new MySqlConnection(maria.Connection(database) + ";Pooling=False");
        return (await connection.QueryAsync<string>("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name")).AsList();
    }

    public async Task<long> CountAsync(string database, string which)
    {
        await using var connection = new MySqlConnection(maria.Connection(database) + ";Pooling=False");
        return await connection.QuerySingleAsync<long>($"SELECT COUNT(*) FROM {which}");
    }

    /// <summary>What this selects stays locked until it is disposed of.</summary>
    public async Task<IAsyncDisposable> HoldAsync(string database, string select)
    {
        var connection = new MySqlConnection(maria.Connection(database) + ";Pooling=False");
        await connection.OpenAsync();
        await connection.ExecuteAsync($"BEGIN; {select}");
        return connection;
    }

    /// <summary>What sells may not read the catalogue until it may again.</summary>
    public Task HideCatalogAsync() => DoAsync($"REVOKE SELECT ON {Catalog}.* FROM '{User(Main)}'@'%'; KILL USER '{User(Main)}'");

    public Task ShowCatalogAsync() => DoAsync($"GRANT SELECT ON {Catalog}.* TO '{User(Main)}'@'%'; KILL USER '{User(Main)}'");

    /// <summary>The user whose database this is cannot come in until it is let in again.</summary>
    public Task ShutOutAsync(string database, string suffix = "") => DoAsync($"ALTER USER '{User(database)}{suffix}'@'%' IDENTIFIED BY 'another'; KILL USER '{User(database)}{suffix}'");

    public Task LetInAsync(string database, string suffix = "") => DoAsync($"ALTER USER '{User(database)}{suffix}'@'%' IDENTIFIED BY 'secret'");

    // Made before any node runs, so that nobody waits for its half a minute.
    private async Task<string> NewTokenKeyAsync()
    {
        List<IModule> modules = [.. ModuleList.All.Where(module => module.TablesApart.Count == 0)];
        using var databases = new NodeDatabases(new SqlOptions { Connection = As(User(Main), Main) }, folder.Path, modules, modules, new Dictionary<string, ModuleSqlOptions>());
        await databases.PrepareAsync();
        var secret = KeyFiles.LoadOrCreate(folder.File("token.key"), KeyFiles.NewSecret);
        using var keys = new TokenKeys(secret, new UserTokens(secret, TimeProvider.System), databases.Main, TimeProvider.System, NullLogger<TokenKeys>.Instance);
        var made = (await keys.RotateAsync(endOthers: false))!;
        await DoAsync($"UPDATE {Main}.token_keys SET signs_from = 1 WHERE id = '{made.Id}'");
        return made.Id;
    }

    private async Task<string> NewDatabaseAsync() => new MySqlConnectionStringBuilder(await maria.NewDatabaseAsync()).Database;

    private string As(string user, string database) => new MySqlConnectionStringBuilder(maria.Connection(database)) { UserID = user, Password = "secret" }.ConnectionString;

    private static string User(string database) => $"of_{database}";
}

/// <summary>Modules with databases of their own, on nodes of their own.</summary>
public sealed class ServicesTests(TwoServices services) : IClassFixture<TwoServices>
{
    private readonly string email = $"u-{Guid.NewGuid():N}@example.org";

    [Fact]
    public async Task User_WhoRegistersAtOneService_BuysAtTheOther()
    {
        var token = (string)(await TwoAccountNodes.RegisterAsync(services.People, email)).Json["token"]!;
        var sale = await services.Shop.OpenSaleAsync(stock: 1);

        var order = await services.Shop.ClaimAsync(sale, token, prefer: "wait=20");

        Assert.True(order.Status == 201, order.Text);
        Assert.Contains(services.TokenKey, Encoding.ASCII.GetString(Base64Url.DecodeFromChars(token.Split('.')[0])), StringComparison.Ordinal);
        Assert.Equal(order.ClaimId, (string?)(await services.Shop.UserAsync(HttpMethod.Get, "/v1/orders", token)).Json["items"]![0]!["id"]);
        var me = await services.People.UserAsync(HttpMethod.Get, "/v1/me", token);
        Assert.True(me.Status == 200, me.Text);
        Assert.Equal((email, order.ClaimId), ((string?)me.Json["profile"]!["email"], (string?)me.Json["orders"]!["items"]![0]!["id"]));
        Assert.Equal(404, (await services.Shop.UserAsync(HttpMethod.Get, "/v1/me", token)).Status);
    }

    [Fact]
    public async Task Product_OfTheOneService_IsBoughtAtTheOtherUnderItsTitle()
    {
        var sku = $"{Guid.NewGuid():N}";
        await PutProductAsync(sku, "Old mug", 600);
        await services.Shop.ServerPostAsync($"/v1/products/{sku}/stock", new JsonObject { ["addUnits"] = 1_000 });
        await PutProductAsync(sku, "Mug", 700);
        var token = (string)(await TwoAccountNodes.RegisterAsync(services.People, email)).Json["token"]!;

        await Eventually.TrueAsync(async () => (await BuyAsync(sku, 500, token)).Status == 409, "the price of before is refused");
        var order = await BuyAsync(sku, 700, token);

        Assert.True(order.Status == 201, order.Text);
        Assert.Equal("Mug", (string?)order.Json["order"]!["title"]);

        // What changes at the one is told to the other, which keeps it for an hour. (Until it has heard, it sells at the price of before.)
        // It is told once more half a second later, and would be forgotten once more where nobody can be asked for it.
        await PutProductAsync(sku, "Mug", 800);
        await Eventually.TrueAsync(async () => await services.CountAsync(services.Catalog, "cache_changes") == 0, "the new price is told for the last time");
        await Eventually.TrueAsync(async () => (await BuyAsync(sku, 700, token)).Code == "price-changed", "the new price is known");

        // Without the catalogue's database what was kept of the product is sold, and the certificate needs nothing of it.
        await services.HideCatalogAsync();
        try
        {
            // Its connections to the main database were closed too: the first that use one may be told to ask again.
            await Eventually.TrueAsync(async () => (await services.Shop.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/health/ready"))).Text == "ready; sql of Catalog is away", "the shop sells without the catalogue");
            await Eventually.TrueAsync(async () => (order = await BuyAsync(sku, 800, token)).Status == 201, "it is sold without the catalogue");
            Assert.Equal("Mug", (string?)order.Json["order"]!["title"]);
            Assert.Equal("holds", (string?)(await services.Shop.SettledCertificateAsync((string)(await services.Shop.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, $"/v1/products/{sku}/stock"))).Json["poolId"]!))["verdict"]);
        }
        finally
        {
            await services.ShowCatalogAsync();
        }
    }

    [Fact]
    public async Task Product_ThatIsGoneWhenItsOrderIsWritten_HasTheTitleOfItsStock()
    {
        var sku = $"{Guid.NewGuid():N}";
        await PutProductAsync(sku, "Mug", 700);
        await services.Shop.ServerPostAsync($"/v1/products/{sku}/stock", new JsonObject { ["addUnits"] = 1 });
        var token = (string)(await TwoAccountNodes.RegisterAsync(services.People, email)).Json["token"]!;
        Answer held;
        await using (await services.HoldAsync(services.Main, $"SELECT pool_id FROM stocks JOIN pools ON pools.id = pool_id WHERE sku = '{sku}' FOR UPDATE"))
        {
            held = await BuyAsync(sku, 700, token, wait: 0);
            Assert.True(held.Status == 202, held.Text);
            Assert.Equal(204, (await services.People.AnswerAsync(new HttpRequestMessage(HttpMethod.Delete, $"/v1/products/{sku}") { Headers = { { "X-Api-Key", services.People.AdminKey } } })).Status);
            await Eventually.TrueAsync(async () => (await BuyAsync(sku, 700, token, wait: 0)).Code == "not-found", "the shop knows that it is gone");
        }

        Answer? written = null;
        await Eventually.TrueAsync(async () => (string?)(written = await services.Shop.UserAsync(HttpMethod.Get, $"/v1/claims/{held.ClaimId}?wait=5", token)).Json["state"] == "confirmed", "it is written");
        Assert.Equal("Mug", (string?)written!.Json["order"]!["title"]);
    }

    [Fact]
    public async Task Site_OfAShopWhoseCatalogueStandsApart_HasItsProductsToo()
    {
        using var folder = new TempFolder();
        var (sku, sale) = ($"{Guid.NewGuid():N}", await services.Shop.OpenSaleAsync(stock: 1));
        await services.People.ServerPutAsync($"/v1/products/{sku}", new JsonObject { ["title"] = "Mug" });

        var (exit, text, says) = await services.PublishAsync(folder.Path);

        Assert.True(exit == 0, text + says);
        var files = Directory.GetFiles(folder.Path, "*", SearchOption.AllDirectories).Select(file => file.Replace('\\', '/')).ToList();
        Assert.Contains(files, file => file.Contains($"/products/{sku}", StringComparison.Ordinal));
        Assert.Contains(files, file => file.Contains($"/sales/{sale}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Databases_HoldTheTablesOfTheirModulesOnly()
    {
        string[] everywhere = ["VersionInfo", "cache_changes", "idempotency", "migration_steps"];
        Assert.Equal(new[] { "accounts", "addresses" }.Concat(everywhere).Order(StringComparer.OrdinalIgnoreCase), (await services.TablesAsync(services.Accounts)).Order(StringComparer.OrdinalIgnoreCase));
        Assert.Equal(
            new[] { "products", "categories", "product_categories", "product_words", "catalog_version" }.Concat(everywhere).Order(StringComparer.OrdinalIgnoreCase),
            (await services.TablesAsync(services.Catalog)).Order(StringComparer.OrdinalIgnoreCase));
        var main = await services.TablesAsync(services.Main);
        Assert.Contains("orders", main);
        Assert.Empty(main.Intersect(["accounts", "addresses", "products", "categories", "catalog_version"]));
    }

    [Fact]
    public void Service_ThatMissesTablesOfAnother_SaysWhoMakesThem()
    {
        Assert.Equal(3, services.TooEarly.Exit);
        Assert.Contains("start a node first that runs the modules that have their tables there", services.TooEarly.Says, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nodes_SayWhichModulesTheyRun()
    {
        Assert.Equal([1], await services.NodesAsync("Catalog, Accounts"));
        Assert.Equal([2], await services.NodesAsync("Orders"));
    }

    [Fact]
    public void Banner_NamesEachDatabase()
    {
        Assert.Contains($"Accounts: MariaDB", services.People.Process.Output, StringComparison.Ordinal);
        Assert.Contains($"/{services.Accounts}", services.People.Process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", services.People.Process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Change_OfAnAccount_IsNotedAndToldWhereTheAccountIs()
    {
        var token = (string)(await TwoAccountNodes.RegisterAsync(services.People, email)).Json["token"]!;
        var key = $"{Guid.NewGuid():N}";
        var added = new List<Answer>();
        for (var i = 0; i < 2; i++)
        {
            added.Add(await services.People.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, "/v1/me/addresses")
            {
                Content = JsonContent.Create(new JsonObject { ["name"] = "Ann", ["line1"] = "1 Road", ["city"] = "Bonn", ["postalCode"] = "53111", ["country"] = "DE" }),
                Headers = { { "Authorization", $"Bearer {token}" }, { "Idempotency-Key", key } },
            }));
        }

        Assert.Equal([201, 200], added.Select(answer => answer.Status));
        Assert.Equal(added[0].Text, added[1].Text);
        Assert.Equal(1, await services.CountAsync(services.Accounts, $"idempotency WHERE idempotency_key = '{key}'"));
        await Eventually.TrueAsync(async () => await services.CountAsync(services.Accounts, "cache_changes") == 0, "the round has told of it once more, and forgets it");
    }

    [Fact]
    public async Task KeysOfTokens_AreMadeWhereAllServicesReadThem()
    {
        var made = await services.People.ServerPostAsync("/v1/operations/token-keys", new JsonObject { ["endOthers"] = false });

        Assert.Equal(1, await services.CountAsync(services.Main, $"token_keys WHERE id = '{(string)made["id"]!}'"));
    }

    [Fact]
    public async Task LogIns_AreCountedInTheRedisOfAccounts()
    {
        await Eventually.TrueAsync(
            async () =>
            {
                await TwoAccountNodes.SendAsync(services.People, HttpMethod.Post, "/v1/sessions", body: new JsonObject { ["email"] = email, ["password"] = "a guess" });
                return (await services.CountedLogInsAsync()).Own > 0;
            },
            "a second log-in is counted where all nodes see it");
        Assert.Equal(0, (await services.CountedLogInsAsync()).Selling);
    }

    [Fact]
    public async Task Accounts_WhoseDatabaseIsAway_RefuseWhileTheOthersGoOn()
    {
        var token = (string)(await TwoAccountNodes.RegisterAsync(services.People, email)).Json["token"]!;
        var sale = await services.Shop.OpenSaleAsync(stock: 1);
        await services.ShutOutAsync(services.Accounts);
        try
        {
            var refused = await TwoAccountNodes.RegisterAsync(services.People, $"x{email}");
            Assert.Equal((503, "unavailable"), (refused.Status, refused.Code));
            Assert.Equal(200, (await services.People.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/v1/products"))).Status);
            var ready = await services.People.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/health/ready"));
            Assert.Equal((200, "ready; sql of Accounts is away"), (ready.Status, ready.Text));
            Assert.Equal(201, (await services.Shop.ClaimAsync(sale, token, prefer: "wait=20")).Status);
        }
        finally
        {
            await services.LetInAsync(services.Accounts);
        }

        await Eventually.TrueAsync(async () => (await TwoAccountNodes.RegisterAsync(services.People, $"x{email}")).Status == 201, "accounts are made again");
    }

    private Task<JsonObject> PutProductAsync(string sku, string title, int priceCents) => services.People.ServerPutAsync($"/v1/products/{sku}", new JsonObject
    {
        ["title"] = title, ["prices"] = new JsonArray(new JsonObject { ["kind"] = "retail", ["currency"] = "EUR", ["amountCents"] = priceCents }),
    });

    [Fact]
    public async Task MainDatabase_ThatIsAway_KeepsNobodyFromLoggingIn()
    {
        await services.ShutOutAsync(services.Main, "_people");
        try
        {
            var registered = await TwoAccountNodes.RegisterAsync(services.People, email);
            Assert.True(registered.Status == 201, registered.Text);
            Assert.Equal(503, (await services.People.UserAsync(HttpMethod.Get, "/v1/me", (string)registered.Json["token"]!)).Status);
            Assert.Equal(200, (await services.People.UserAsync(HttpMethod.Get, "/v1/me/profile", (string)registered.Json["token"]!)).Status);
            var ready = await services.People.AnswerAsync(new HttpRequestMessage(HttpMethod.Get, "/health/ready"));
            Assert.Equal((200, "ready; sql is away"), (ready.Status, ready.Text));
        }
        finally
        {
            await services.LetInAsync(services.Main, "_people");
        }
    }

    private async Task<Answer> BuyAsync(string sku, int priceCents, string token, int wait = 20) => await services.Shop.AnswerAsync(new HttpRequestMessage(HttpMethod.Post, $"/v1/products/{sku}/claims")
    {
        Content = JsonContent.Create(new JsonObject { ["units"] = 1, ["priceCents"] = priceCents, ["currency"] = "EUR" }), Headers = { { "Authorization", $"Bearer {token}" }, { "Prefer", $"wait={wait}" } },
    });
}
