using System.Collections.Concurrent;
using System.Data.Common;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Dapper;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using MySqlConnector;
using SQLitePCL;
using Sluice.Host;
using Sluice.Platform.Pools;
using Sluice.Platform.Sql;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Contract;

/// <summary>
/// A whole node does everything that buyers, workers and operators make it do again and again; each statement that it really sent is then explained by the engine:
/// none reads a whole table that grows with the buyers. (Audits count from all claims of a pool, and are not among them. Pools and sales are few: one row for each sale.)
/// </summary>
public sealed class QueryPlanTests(ITestOutputHelper output)
{
    private const int Pools = 40, ClaimsPerPool = 250;

    private static readonly string[] Growing =
    [
        "claims", "orders", "payments", "releases", "idempotency", "products", "pool_adjustments", "accounts", "addresses",
        "product_categories", "product_words", "cache_changes", "order_outbox", "payment_ids",
        "check_ins", "points_balances", "points_entries", "coupons",
    ];

    /// <summary>What of them a shard has that is not the main database.</summary>
    private static readonly string[] GrowingAtShards = ["orders", "payments", "releases"];

    /// <summary>The scenario must have met each of these, or it proves nothing of it.</summary>
    private static readonly string[] Hot =
    [
        "FROM claims WHERE id IN", "FROM claims WHERE id =", "FROM claims WHERE pool_id", "ordinal IS NOT NULL AND user_id IN", "UPDATE claims SET state", "FROM pools WHERE id =", "UPDATE pools SET claimed_units",
        "FROM claims WHERE user_id", "FROM orders WHERE id =", "FROM orders WHERE id IN", "FROM orders WHERE state = 0 AND pay_by", "UPDATE orders SET state", "FROM releases WHERE returned = 0", "UPDATE releases SET returned",
        "FROM payments WHERE payment_id", "FROM idempotency WHERE route", "FROM products WHERE sku", "INSERT INTO claims", "INSERT INTO orders", "SELECT MAX(id) FROM claims",
        "FROM accounts WHERE user_id", "FROM accounts WHERE email_key", "UPDATE accounts SET version", "FROM addresses WHERE user_id", "FROM addresses WHERE id", "UPDATE addresses SET",
        "FROM check_ins WHERE user_id = ", "AND business_date >= ", "ORDER BY business_date DESC", "FROM points_balances WHERE user_id", "UPDATE points_balances SET balance", "INSERT INTO points_balances",
        "FROM points_entries WHERE user_id", "AND cause_kind = ", "FROM points_entries WHERE id = ",
        "INSERT INTO coupons", "FROM coupons WHERE id = ", "FROM coupons WHERE id IN (SELECT id FROM claims", "UPDATE coupons SET state = 1", "UPDATE coupons SET state = 0", "UPDATE coupons SET state = 2",
        "FROM coupons WHERE order_id IN", "FROM coupons WHERE state = 1 AND id >", "UPDATE orders SET coupon_id",
        "FROM products WHERE is_listed = 1 AND", "AND sku IN (SELECT sku FROM product_categories WHERE slug IN", "FROM product_words WHERE word >=", "AND t0.sku IN (SELECT sku FROM product_categories WHERE slug IN", "FROM products WHERE sku IN",
        "DELETE FROM product_words WHERE sku", "DELETE FROM product_categories WHERE sku", "FROM product_categories WHERE slug =", "FROM cache_changes WHERE made_at", "DELETE FROM cache_changes WHERE made_at",
    ];

    /// <summary>The same of a shop whose orders are spread over shards.</summary>
    private static readonly string[] HotWithShards =
    [
        "FROM order_outbox WHERE id =", "FROM order_outbox WHERE id IN", "FROM order_outbox WHERE shard =", "DELETE FROM order_outbox WHERE id IN", "FROM payment_ids WHERE payment_id", "FROM orders WHERE user_id",
        "SELECT claim_id FROM releases WHERE returned = 0 ORDER BY pool_id", "UPDATE releases SET returned = 1 WHERE claim_id IN",
    ];

    /// <summary>Counts on purpose what waits, once in five seconds, for the metrics.</summary>
    private const string CountsWhatWaits = "SELECT shard, COUNT(*), MIN(id) FROM order_outbox GROUP BY shard";

    /// <summary>Where another index would also be one, and would lead through the rows of everybody.</summary>
    private static readonly Dictionary<string, string> Through = new(StringComparer.Ordinal)
    {
        // Not the outbox: what waits there for one shard may be fewer than the claims of the user.
        ["FROM orders WHERE id IN (SELECT id FROM claims WHERE user_id"] = "uq_claims_user_pool_ordinal",
        ["FROM coupons WHERE id IN (SELECT id FROM claims WHERE user_id"] = "uq_claims_user_pool_ordinal",
        ["FROM orders WHERE state = 0 AND pay_by"] = "ix_orders_unpaid",
        ["FROM releases WHERE returned = 0"] = "ix_releases_open",
        ["FROM coupons WHERE state = 1 AND id >"] = "ix_coupons_held",
        ["FROM coupons WHERE order_id IN"] = "ix_coupons_order",
        ["ordinal IS NOT NULL AND user_id IN"] = "uq_claims_user_pool_ordinal",
        ["AND cause_kind = "] = "uq_points_entries_cause",
        ["FROM points_entries WHERE user_id"] = "points_entries",
        ["sku > '')) ORDER BY position DESC, sku"] = "ix_products_page",
        ["is_private FROM cache_changes WHERE made_at"] = "ix_cache_changes_made",
    };

    [Fact]
    public async Task Statements_OnSqlite_ReadNoWholeTable()
    {
        var asked = new ConcurrentQueue<string>();
        using var folder = new TempFolder();
        await using var node = await StartAsync(folder, SqlOptions.Embedded);
        var database = node.App.Services.GetRequiredService<Database>();
        strdelegate_trace keep = (_, statement) => asked.Enqueue(statement);
        database.Opened = connection => raw.sqlite3_trace(((SqliteConnection)connection).Handle!, keep, null!);
        await DoEverythingAsync(node);
        database.Opened = null;

        await using var explaining = new SqliteConnection($"Data Source={folder.File("sluice.db")};Pooling=False");

        // The whole of a partial index is what the index is for: the few rows that are open.
        var partial = (await explaining.QueryAsync<string>("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")).ToList();
        await AssertNoScanAsync(Hot, asked.Select(statement => (statement, "")), async (statement, _) => [.. (await explaining.QueryAsync<(long, long, long, string Detail)>("EXPLAIN QUERY PLAN " + statement))
            .Where(step => step.Detail.StartsWith("SCAN ", StringComparison.Ordinal) || step.Detail.StartsWith("SEARCH ", StringComparison.Ordinal))
            .Select(step => (
                step.Detail.Split(' ')[1],
                step.Detail.StartsWith("SCAN ", StringComparison.Ordinal) && !step.Detail.Contains("json_each", StringComparison.Ordinal) && !step.Detail.Contains("CONSTANT", StringComparison.Ordinal) &&
                    !partial.Exists(index => step.Detail.EndsWith("INDEX " + index, StringComparison.Ordinal)),
                (string?)step.Detail,
                false))]);
    }

    [Fact]
    public async Task Statements_OnMariaDb_ReadNoWholeTable()
    {
        await using var server = await MariaDbServer.StartAsync();
        await AssertNoScanAsync(server, Hot, await server.NewDatabaseAsync(), []);
    }

    [Fact]
    public async Task Statements_OnShards_ReadNoWholeTable()
    {
        await using var server = await MariaDbServer.StartAsync();
        var home = await server.NewDatabaseAsync();
        await AssertNoScanAsync(server, HotWithShards, home, [home, await server.NewDatabaseAsync()]);
    }

    private async Task AssertNoScanAsync(MariaDbServer server, IEnumerable<string> hot, string connection, IReadOnlyList<string> shards)
    {
        using var folder = new TempFolder();
        await using var node = await StartAsync(folder, connection, shards);
        await using var explaining = new MySqlConnection(connection);
        await explaining.OpenAsync();
        await explaining.ExecuteAsync("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON");
        await DoEverythingAsync(node, shards.Count == 0 ? "u-plan" : new ShardedShop(connection, shards).UsersOf(1, 1)[0]);
        await explaining.ExecuteAsync("SET GLOBAL general_log = OFF");
        await AnalyseAsync(connection, shards);
        var database = explaining.Database;

        // Pooled connections: those that asked are still there, each at its database.
        var asked = (await explaining.QueryAsync<(string Statement, string Database)>(
            "SELECT CONVERT(l.argument USING utf8mb4), COALESCE(p.db, @database) FROM mysql.general_log l LEFT JOIN information_schema.processlist p ON p.id = l.thread_id WHERE l.command_type = 'Query' AND l.user_host LIKE 'sluice%'",
            new { database })).AsList();
        Assert.DoesNotContain(asked, each => each.Statement.StartsWith("KILL", StringComparison.Ordinal));
        await AssertNoScanAsync(
            hot,
            asked.Select(each => (each.Statement.StartsWith("SAVEPOINT part; ", StringComparison.Ordinal) ? each.Statement["SAVEPOINT part; ".Length..] : each.Statement, each.Database)),
            async (statement, at) =>
            {
                await explaining.ChangeDatabaseAsync(at);
                return [.. (await explaining.QueryAsync<dynamic>("EXPLAIN " + statement)).Select(step => (NameOf((string?)step.table ?? "", statement), step.type is "ALL" or "index", (string?)step.key, ((string?)step.Extra)?.Contains("filesort", StringComparison.Ordinal) == true))];
            });

        // The plan says the alias.
        static string NameOf(string table, string statement) =>
            Growing.FirstOrDefault(name => statement.Contains($" {name} {table} ", StringComparison.Ordinal) || statement.Contains($" {name} {table}\n", StringComparison.Ordinal)) ?? table;
    }

    private async Task AssertNoScanAsync(IEnumerable<string> hot, IEnumerable<(string Statement, string Database)> asked, Func<string, string, Task<List<(string Table, bool IsWhole, string? Through, bool Sorts)>>> explain)
    {
        var statements = asked.Where(each => new[] { "SELECT", "UPDATE", "DELETE", "INSERT" }.Any(verb => each.Statement.StartsWith(verb, StringComparison.Ordinal))).DistinctBy(each => (each.Database, Shape(each.Statement))).ToList();
        Assert.Empty(hot.Where(part => !statements.Exists(each => each.Statement.Contains(part, StringComparison.Ordinal))));
        var scans = new List<string>();
        foreach (var (statement, database) in statements.Where(each => !each.Statement.StartsWith("INSERT", StringComparison.Ordinal) && each.Statement != CountsWhatWaits))
        {
            var plan = await explain(statement, database);
            foreach (var (table, _, _, _) in plan.Where(step => step.IsWhole))
            {
                output.WriteLine($"reads all of {table}: {Short(statement)}");
                if (Growing.Contains(table))
                {
                    scans.Add($"{table}: {Short(statement)}");
                }
            }

            // What many may ask for page by page comes out of an index in its order, or all rows are read and sorted for each page.
            if (plan.Exists(step => step.Sorts && step.Table == "products"))
            {
                scans.Add($"sorts products: {Short(statement)}");
            }

            foreach (var (_, index) in Through.Where(rule => statement.Contains(rule.Key, StringComparison.Ordinal) && !plan.Exists(step => step.Through?.Contains(rule.Value, StringComparison.Ordinal) == true)))
            {
                scans.Add($"not through {index} but {string.Join(", ", plan.Select(step => step.Through))}: {Short(statement)}");
            }
        }

        output.WriteLine($"{statements.Count} statements explained");
        Assert.Empty(scans);

        static string Short(string statement) => statement[..Math.Min(300, statement.Length)];

        static string Shape(string statement) => System.Text.RegularExpressions.Regex.Replace(statement, "'[^']*'|[0-9]+|, *|[()]", "", System.Text.RegularExpressions.RegexOptions.None, TimeSpan.FromSeconds(5));
    }

    private static async Task<Node> StartAsync(TempFolder folder, string connection, params IReadOnlyList<string> shards)
    {
        var settings = new Dictionary<string, string?>
        {
            ["Data"] = folder.Path, ["Urls"] = "http://127.0.0.1:0", ["Sql:Connection"] = connection, ["Orders:TestPayments"] = "true", ["Orders:ExpiryRound"] = "00:00:00.2", ["Coupons:GiveBackRound"] = "00:00:00.2",
        };
        foreach (var (number, shard) in shards.Index())
        {
            settings[$"Sql:Shards:{number}"] = shard;
        }

        var node = await Node.OpenAsync(Node.Load(settings));

        // Old sales, so that what is looked for is a little of much. Statements of a thousand rows, each in the words that both engines know.
        await node.App.Services.GetRequiredService<Database>().WriteAsync(async transaction =>
        {
            foreach (var pool in Enumerable.Range(1, Pools))
            {
                await RunAsync(transaction, $"INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, version, applied_version, created_at, generation) VALUES ({pool}, 'flash-sale', 't', 999, 999, {ClaimsPerPool}, 5, 3, 1, 1, 1, 1)");
                await RunAsync(transaction, $"INSERT INTO flash_sales (id, sku, title, price_cents, currency, payment_timeout_ms) VALUES ({pool}, 's', 't', 1, 'EUR', 1)");
                await FillAsync(transaction, pool, "claims (id, pool_id, user_id, units, idempotency_key, ordinal, state, written_at)", id => $"{id}, {pool}, 'u-{id}', 1, 'k-{id}', 0, 1, 1");
                await FillOrdersAsync(transaction, pool);
                await FillAsync(transaction, pool, "idempotency (route, idempotency_key, request_hash, result_id, created_at)", id => $"'r', 'k-{id}', 'h', 1, 1");
                await FillAsync(transaction, pool, "products (sku, title, version, position)", id => $"'s-{id}', 't', 1, {id}");
                await FillAsync(transaction, pool, "product_categories (slug, sku)", id => $"'c-{pool}', 's-{id}'");
                await FillAsync(transaction, pool, "product_words (word, sku, weight)", id => $"'w{id}', 's-{id}', 1");
                await FillAsync(transaction, pool, "accounts (user_id, email, email_key, password_hash, name, version, created_at)", id => $"'u-{id}', 'e-{id}', 'e-{id}', 'h', 'n', 1, 1");
                await FillAsync(transaction, pool, "addresses (id, user_id, name, line1, city, postal_code, country, is_default)", id => $"{id}, 'u-{id}', 'n', 'l', 'c', 'p', 'DE', 0");
                await FillAsync(transaction, pool, "pool_adjustments (id, pool_id, units, created_at)", id => $"{id}, {pool}, 1, 1");
                await FillAsync(transaction, pool, "payment_ids (payment_id, order_id)", id => $"'p-{id}', {id}");
                await FillAsync(transaction, pool, "check_ins (user_id, business_date, points, streak_days, checked_in_at)", id => $"'visitor-{id % 500}', '2{id:000000}', 10, 1, 1");
                await FillAsync(transaction, pool, "points_entries (id, user_id, cause_kind, cause_id, points, balance_after, made_at)", id => $"{id}, 'visitor-{id % 500}', 'shop', '{id}', 1, 1, 1");
                await FillAsync(transaction, pool, "points_balances (user_id, balance, version)", id => $"'u-{id}', 1, 1");
                await FillAsync(transaction, pool, "coupons (id, template_id, user_id, valid_until, state, order_id)", id => $"{id}, {pool}, 'u-{id}', 9000000000000, 2, {id}");

                // Of a time that has not come, and of a shard that nobody has: they stay where they are.
                await FillAsync(transaction, pool, "cache_changes (id, cache_key, is_private, made_at)", id => $"{id}, 'k-{id}', 0, {long.MaxValue / 2}");
                await FillAsync(transaction, pool, "order_outbox (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by, shard)", id => $"{id}, {pool}, 'u-{id}', 's', 't', 1, 1, 'EUR', 0, 1, {id}, 99");
            }
        });
        foreach (var shard in node.App.Services.GetRequiredService<Shards>().Others)
        {
            await shard.Database.WriteAsync(async transaction =>
            {
                foreach (var pool in Enumerable.Range(1, Pools))
                {
                    await FillOrdersAsync(transaction, pool);
                }
            });
        }

        if (connection != SqlOptions.Embedded)
        {
            await AnalyseAsync(connection, shards);
        }

        return node;

        static async Task FillOrdersAsync(DbTransaction transaction, int pool)
        {
            await FillAsync(transaction, pool, "orders (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by)", id => $"{id}, {pool}, 'u-{id}', 's', 't', 1, 1, 'EUR', 1, 1, {id}");
            await FillAsync(transaction, pool, "payments (payment_id, order_id, amount_cents, currency, outcome, received_at)", id => $"'p-{id}', {id}, 1, 'EUR', 1, 1");
            await FillAsync(transaction, pool, "releases (claim_id, pool_id, user_id, units, returned, released_at)", id => $"{id}, {pool}, 'u-{id}', 1, 1, 1");
        }

        static Task FillAsync(DbTransaction transaction, int pool, string columns, Func<int, string> row) =>
            RunAsync(transaction, $"INSERT INTO {columns} VALUES {string.Join(',', Enumerable.Range(pool * 1_000, ClaimsPerPool).Select(id => $"({row(id)})"))}");

        static Task RunAsync(DbTransaction transaction, string statement) => transaction.Connection!.ExecuteAsync(statement, transaction: transaction);
    }

    private static async Task AnalyseAsync(string connection, IReadOnlyList<string> shards)
    {
        foreach (var (at, tables) in shards.Where(shard => shard != connection).Select(shard => (shard, GrowingAtShards)).Prepend((connection, [.. Growing, "pools", "flash_sales"])))
        {
            await using var analysing = new MySqlConnection(at);
            await analysing.ExecuteAsync($"ANALYZE TABLE {string.Join(',', tables)}");
        }
    }

    private static async Task DoEverythingAsync(Node node, string user = "u-plan")
    {
        await node.App.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(ServeCommand.AddressOf(node)) };
        http.DefaultRequestHeaders.Add("X-Api-Key", (await File.ReadAllTextAsync(Path.Combine(node.Settings.Get<Platform.Hosting.NodeOptions>().Data, "admin.key"))).Trim());
        await SendAsync(HttpMethod.Put, "/v1/categories/kitchen", new JsonObject { ["title"] = "Kitchen" });
        foreach (var sku in new[] { "kettle", "pot", "bowl" })
        {
            await SendAsync(HttpMethod.Put, $"/v1/products/{sku}", new JsonObject { ["title"] = $"A {sku} of steel", ["categories"] = new JsonArray("kitchen") });
        }

        await SendAsync(HttpMethod.Get, "/v1/products/kettle");
        await SendAsync(HttpMethod.Get, "/v1/categories");
        var page = await SendAsync(HttpMethod.Get, "/v1/products?limit=2");
        await SendAsync(HttpMethod.Get, $"/v1/products?limit=2&cursor={page["nextCursor"]}");
        await SendAsync(HttpMethod.Get, "/v1/products?category=kitchen");
        await SendAsync(HttpMethod.Get, "/v1/search?q=steel");
        await SendAsync(HttpMethod.Get, "/v1/search?q=steel%20kettle&category=kitchen");
        await SendAsync(HttpMethod.Delete, "/v1/products/bowl");
        await SendAsync(HttpMethod.Put, "/v1/categories/attic", new JsonObject { ["title"] = "Attic" });
        await SendAsync(HttpMethod.Delete, "/v1/categories/attic");
        var sale = (string)(await SendAsync(HttpMethod.Post, "/v1/flash-sales", new JsonObject
        {
            ["sku"] = "kettle", ["title"] = "Kettle", ["priceCents"] = 4900, ["currency"] = "EUR", ["stockUnits"] = 50, ["perUserLimit"] = 3,
        }, key: "make-the-sale-of-this-test"))["id"]!;
        await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/open");
        await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/stock", new JsonObject { ["addUnits"] = 5 }, key: "more-stock-for-the-test");
        await SendAsync(HttpMethod.Get, "/v1/flash-sales");
        var token = (string)(await SendAsync(HttpMethod.Post, "/v1/tokens", new JsonObject { ["userId"] = user }))["token"]!;
        var orders = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            orders.Add((string)(await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/claims", new JsonObject { ["units"] = 1 }, $"claim-of-the-plan-{i:000}", token, prefer: "wait=20"))["claimId"]!);
        }

        await SendAsync(HttpMethod.Get, $"/v1/claims/{orders[0]}", token: token);
        await SendAsync(HttpMethod.Post, "/v1/claims/lookup", new JsonObject { ["claimIds"] = new JsonArray([.. orders.Select(id => (JsonNode)id)]) });
        await SendAsync(HttpMethod.Get, "/v1/orders?limit=2", token: token);
        await SendAsync(HttpMethod.Get, $"/v1/orders/{orders[0]}", token: token);
        var template = (string)(await SendAsync(HttpMethod.Post, "/v1/coupon-templates", new JsonObject
        {
            ["title"] = "Five off", ["kind"] = "fixed", ["amountOffCents"] = 500, ["currency"] = "EUR", ["units"] = 9, ["perUserLimit"] = 9, ["validUntil"] = "2059-01-01T00:00:00Z",
        }))["id"]!;
        await SendAsync(HttpMethod.Post, $"/v1/coupon-templates/{template}/open");
        for (var i = 0; i < 3; i++)
        {
            var coupon = (string)(await SendAsync(HttpMethod.Post, $"/v1/coupon-templates/{template}/claims", key: $"coupon-of-the-plan-{i:000}", token: token, prefer: "wait=20"))["claimId"]!;
            await SendAsync(HttpMethod.Post, $"/v1/orders/{orders[i]}/coupon", new JsonObject { ["couponId"] = coupon }, token: token);
        }

        await SendAsync(HttpMethod.Delete, $"/v1/orders/{orders[2]}/coupon", token: token);
        await SendAsync(HttpMethod.Get, "/v1/coupons?state=usable", token: token);
        await SendAsync(HttpMethod.Get, "/v1/me", token: token);
        await SendAsync(HttpMethod.Post, $"/v1/orders/{orders[0]}/test-payment", token: token);
        await SendAsync(HttpMethod.Post, $"/v1/orders/{orders[1]}/cancel", token: token);
        await SendAsync(HttpMethod.Post, "/v1/accounts", new JsonObject { ["email"] = "plan@example.org", ["password"] = "correct horse", ["name"] = "Ann" });
        var own = (string)(await SendAsync(HttpMethod.Post, "/v1/sessions", new JsonObject { ["email"] = "plan@example.org", ["password"] = "correct horse" }))["token"]!;
        await SendAsync(HttpMethod.Get, "/v1/me/profile", token: own);
        await SendAsync(HttpMethod.Patch, "/v1/me/profile", new JsonObject { ["name"] = "Bob" }, token: own);
        var place = new JsonObject { ["name"] = "Ann", ["line1"] = "1 Road", ["city"] = "Bonn", ["postalCode"] = "53111", ["country"] = "DE", ["isDefault"] = true };
        var address = (string)(await SendAsync(HttpMethod.Post, "/v1/me/addresses", place, token: own))["id"]!;
        await SendAsync(HttpMethod.Get, "/v1/me/addresses", token: own);
        await SendAsync(HttpMethod.Put, $"/v1/me/addresses/{address}", place, token: own);
        await SendAsync(HttpMethod.Post, "/v1/check-ins", token: token);
        await SendAsync(HttpMethod.Post, "/v1/check-ins", token: token);
        await SendAsync(HttpMethod.Get, "/v1/check-ins", token: token);
        await SendAsync(HttpMethod.Post, "/v1/points", new JsonObject { ["userId"] = "u-plan", ["points"] = 5, ["reason"] = "A plan" }, key: "points-of-the-test-here");
        await SendAsync(HttpMethod.Get, "/v1/points?limit=2", token: token);
        await SendAsync(HttpMethod.Get, "/v1/points", token: token);
        await SendAsync(HttpMethod.Get, "/v1/me", token: token);
        await node.App.Services.GetRequiredService<PoolRebuilder>().RebuildAsync(long.Parse(sale, System.Globalization.CultureInfo.InvariantCulture));

        // The worker's rounds: unpaid orders, units on their way back, settings on their way out.
        var looked = TimeProvider.System.GetTimestamp();
        await Eventually.TrueAsync(() => Task.FromResult(TimeProvider.System.GetElapsedTime(looked) > TimeSpan.FromSeconds(1.5)), "the worker has made its rounds");

        async Task<JsonObject> SendAsync(HttpMethod method, string path, JsonObject? body = null, string? key = null, string? token = null, string? prefer = null)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
            foreach (var (name, value) in new[] { ("Idempotency-Key", key), ("Authorization", token is null ? null : $"Bearer {token}"), ("Prefer", prefer) })
            {
                if (value is not null)
                {
                    request.Headers.Add(name, value);
                }
            }

            using var response = await http.SendAsync(request);
            var text = await response.Content.ReadAsStringAsync();
            Assert.True(response.IsSuccessStatusCode, $"{method} {path}: {(int)response.StatusCode} {text}");
            return text.Length == 0 ? new JsonObject() : (JsonObject)JsonNode.Parse(text)!;
        }
    }
}
