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

    private static readonly string[] Growing = ["claims", "orders", "payments", "releases", "idempotency", "products", "pool_adjustments", "accounts", "addresses"];

    /// <summary>The scenario must have met each of these, or it proves nothing of it.</summary>
    private static readonly string[] Hot =
    [
        "FROM claims WHERE id IN", "FROM claims WHERE id =", "FROM claims WHERE pool_id", "ordinal IS NOT NULL AND user_id IN", "UPDATE claims SET state", "FROM pools WHERE id =", "UPDATE pools SET claimed_units",
        "FROM claims WHERE user_id", "FROM orders WHERE id =", "FROM orders WHERE id IN", "FROM orders WHERE state = 0 AND pay_by", "UPDATE orders SET state", "FROM releases WHERE returned = 0", "UPDATE releases SET returned",
        "FROM payments WHERE payment_id", "FROM idempotency WHERE route", "FROM products WHERE sku", "INSERT INTO claims", "INSERT INTO orders", "SELECT MAX(id) FROM claims",
        "FROM accounts WHERE user_id", "FROM accounts WHERE email_key", "UPDATE accounts SET version", "FROM addresses WHERE user_id", "FROM addresses WHERE id", "UPDATE addresses SET",
    ];

    /// <summary>Where another index would also be one, and would lead through the rows of everybody.</summary>
    private static readonly Dictionary<string, string> Through = new(StringComparer.Ordinal)
    {
        ["FROM claims WHERE user_id"] = "uq_claims_user_pool_ordinal",
        ["FROM orders WHERE state = 0 AND pay_by"] = "ix_orders_unpaid",
        ["FROM releases WHERE returned = 0"] = "ix_releases_open",
        ["ordinal IS NOT NULL AND user_id IN"] = "uq_claims_user_pool_ordinal",
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
        await AssertNoScanAsync(asked, async statement => [.. (await explaining.QueryAsync<(long, long, long, string Detail)>("EXPLAIN QUERY PLAN " + statement))
            .Where(step => step.Detail.StartsWith("SCAN ", StringComparison.Ordinal) || step.Detail.StartsWith("SEARCH ", StringComparison.Ordinal))
            .Select(step => (
                step.Detail.Split(' ')[1],
                step.Detail.StartsWith("SCAN ", StringComparison.Ordinal) && !step.Detail.Contains("json_each", StringComparison.Ordinal) && !step.Detail.Contains("CONSTANT", StringComparison.Ordinal) &&
                    !partial.Exists(index => step.Detail.EndsWith("INDEX " + index, StringComparison.Ordinal)),
                (string?)step.Detail))]);
    }

    [Fact]
    public async Task Statements_OnMariaDb_ReadNoWholeTable()
    {
        await using var server = await MariaDbServer.StartAsync();
        var connection = await server.NewDatabaseAsync();
        using var folder = new TempFolder();
        await using var node = await StartAsync(folder, connection);
        await using var explaining = new MySqlConnection(connection);
        await explaining.ExecuteAsync("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON");
        await DoEverythingAsync(node);
        await explaining.ExecuteAsync("SET GLOBAL general_log = OFF");
        await explaining.ExecuteAsync($"ANALYZE TABLE {string.Join(',', Growing)}, pools, flash_sales");

        var asked = (await explaining.QueryAsync<string>("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query' AND user_host LIKE 'sluice%'")).AsList();
        Assert.DoesNotContain(asked, statement => statement.StartsWith("KILL", StringComparison.Ordinal));
        await AssertNoScanAsync(
            asked.Select(statement => statement.StartsWith("SAVEPOINT part; ", StringComparison.Ordinal) ? statement["SAVEPOINT part; ".Length..] : statement),
            async statement => [.. (await explaining.QueryAsync<dynamic>("EXPLAIN " + statement))
                .Select(step => (NameOf((string?)step.table ?? "", statement), step.type is "ALL" or "index", (string?)step.key))]);

        // The plan says the alias.
        static string NameOf(string table, string statement) =>
            Growing.FirstOrDefault(name => statement.Contains($" {name} {table} ", StringComparison.Ordinal) || statement.Contains($" {name} {table}\n", StringComparison.Ordinal)) ?? table;
    }

    private async Task AssertNoScanAsync(IEnumerable<string> asked, Func<string, Task<List<(string Table, bool IsWhole, string? Through)>>> explain)
    {
        var statements = asked.Where(statement => new[] { "SELECT", "UPDATE", "DELETE", "INSERT" }.Any(verb => statement.StartsWith(verb, StringComparison.Ordinal))).DistinctBy(Shape).ToList();
        Assert.Empty(Hot.Where(part => !statements.Exists(statement => statement.Contains(part, StringComparison.Ordinal))));
        var scans = new List<string>();
        foreach (var statement in statements.Where(statement => !statement.StartsWith("INSERT", StringComparison.Ordinal)))
        {
            var plan = await explain(statement);
            foreach (var (table, _, _) in plan.Where(step => step.IsWhole))
            {
                output.WriteLine($"reads all of {table}: {Short(statement)}");
                if (Growing.Contains(table))
                {
                    scans.Add($"{table}: {Short(statement)}");
                }
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

    private static async Task<Node> StartAsync(TempFolder folder, string connection)
    {
        var node = await Node.OpenAsync(Node.Load(new Dictionary<string, string?>
        {
            ["Data"] = folder.Path, ["Urls"] = "http://127.0.0.1:0", ["Sql:Connection"] = connection, ["Orders:TestPayments"] = "true", ["Orders:ExpiryRound"] = "00:00:00.2",
        }));

        // Old sales, so that what is looked for is a little of much. Statements of a thousand rows, each in the words that both engines know.
        await node.App.Services.GetRequiredService<Database>().WriteAsync(async transaction =>
        {
            foreach (var pool in Enumerable.Range(1, Pools))
            {
                await RunAsync($"INSERT INTO pools (id, kind, title, initial_units, capacity_units, claimed_units, per_user_limit, gate, version, applied_version, created_at, generation) VALUES ({pool}, 'flash-sale', 't', 999, 999, {ClaimsPerPool}, 5, 3, 1, 1, 1, 1)");
                await RunAsync($"INSERT INTO flash_sales (id, sku, title, price_cents, currency, payment_timeout_ms) VALUES ({pool}, 's', 't', 1, 'EUR', 1)");
                var ids = Enumerable.Range(pool * 1_000, ClaimsPerPool).ToList();
                await RunAsync($"INSERT INTO claims (id, pool_id, user_id, units, idempotency_key, ordinal, state, written_at) VALUES {Rows(id => $"{id}, {pool}, 'u-{id}', 1, 'k-{id}', 0, 1, 1")}");
                await RunAsync($"INSERT INTO orders (id, sale_id, user_id, sku, title, units, price_cents, currency, state, created_at, pay_by) VALUES {Rows(id => $"{id}, {pool}, 'u-{id}', 's', 't', 1, 1, 'EUR', 1, 1, {id}")}");
                await RunAsync($"INSERT INTO payments (payment_id, order_id, amount_cents, currency, outcome, received_at) VALUES {Rows(id => $"'p-{id}', {id}, 1, 'EUR', 1, 1")}");
                await RunAsync($"INSERT INTO releases (claim_id, pool_id, user_id, units, returned, released_at) VALUES {Rows(id => $"{id}, {pool}, 'u-{id}', 1, 1, 1")}");
                await RunAsync($"INSERT INTO idempotency (route, idempotency_key, request_hash, result_id, created_at) VALUES {Rows(id => $"'r', 'k-{id}', 'h', 1, 1")}");
                await RunAsync($"INSERT INTO products (sku, title, version) VALUES {Rows(id => $"'s-{id}', 't', 1")}");
                await RunAsync($"INSERT INTO accounts (user_id, email, email_key, password_hash, name, version, created_at) VALUES {Rows(id => $"'u-{id}', 'e-{id}', 'e-{id}', 'h', 'n', 1, 1")}");
                await RunAsync($"INSERT INTO addresses (id, user_id, name, line1, city, postal_code, country, is_default) VALUES {Rows(id => $"{id}, 'u-{id}', 'n', 'l', 'c', 'p', 'DE', 0")}");
                await RunAsync($"INSERT INTO pool_adjustments (id, pool_id, units, created_at) VALUES {Rows(id => $"{id}, {pool}, 1, 1")}");

                string Rows(Func<int, string> row) => string.Join(',', ids.Select(id => $"({row(id)})"));
            }

            Task RunAsync(string statement) => transaction.Connection!.ExecuteAsync(statement, transaction: transaction);
        });
        if (connection != SqlOptions.Embedded)
        {
            await using var analysing = new MySqlConnection(connection);
            await analysing.ExecuteAsync($"ANALYZE TABLE {string.Join(',', Growing)}, pools, flash_sales");
        }

        return node;
    }

    private static async Task DoEverythingAsync(Node node)
    {
        await node.App.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(ServeCommand.AddressOf(node)) };
        http.DefaultRequestHeaders.Add("X-Api-Key", (await File.ReadAllTextAsync(Path.Combine(node.Settings.Get<Platform.Hosting.NodeOptions>().Data, "admin.key"))).Trim());
        await SendAsync(HttpMethod.Put, "/v1/products/kettle", new JsonObject { ["title"] = "Kettle" });
        await SendAsync(HttpMethod.Get, "/v1/products/kettle");
        var sale = (string)(await SendAsync(HttpMethod.Post, "/v1/flash-sales", new JsonObject
        {
            ["sku"] = "kettle", ["title"] = "Kettle", ["priceCents"] = 4900, ["currency"] = "EUR", ["stockUnits"] = 50, ["perUserLimit"] = 3,
        }, key: "make-the-sale-of-this-test"))["id"]!;
        await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/open");
        await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/stock", new JsonObject { ["addUnits"] = 5 }, key: "more-stock-for-the-test");
        await SendAsync(HttpMethod.Get, "/v1/flash-sales");
        var token = (string)(await SendAsync(HttpMethod.Post, "/v1/tokens", new JsonObject { ["userId"] = "u-plan" }))["token"]!;
        var orders = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            orders.Add((string)(await SendAsync(HttpMethod.Post, $"/v1/flash-sales/{sale}/claims", new JsonObject { ["units"] = 1 }, $"claim-of-the-plan-{i:000}", token, prefer: "wait=20"))["claimId"]!);
        }

        await SendAsync(HttpMethod.Get, $"/v1/claims/{orders[0]}", token: token);
        await SendAsync(HttpMethod.Post, "/v1/claims/lookup", new JsonObject { ["claimIds"] = new JsonArray([.. orders.Select(id => (JsonNode)id)]) });
        await SendAsync(HttpMethod.Get, "/v1/orders?limit=2", token: token);
        await SendAsync(HttpMethod.Get, $"/v1/orders/{orders[0]}", token: token);
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
            return (JsonObject)JsonNode.Parse(text)!;
        }
    }
}
