using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Sluice.Bench.Baseline;

/// <summary>
/// The flash sale of the textbooks, done right: one durable SQL transaction per order that checks the stock, takes a unit with a guarded
/// update and inserts the order. It never oversells.
/// </summary>
/// <remarks>
/// One connection, its statements prepared once, and callers wait in line for it: SQLite has one writer anyway, and letting 128
/// connections poll for its lock is several times slower. The user is whatever stands after "Bearer "; nothing is verified.
/// </remarks>
internal sealed class Textbook : IDisposable
{
    private const long PriceCents = 4_900;
    private const int WaitersMax = 10_000;

    private readonly SqliteConnection connection;
    private readonly SqliteCommand stock, held, take, insert;
    private readonly SemaphoreSlim writer = new(1, 1);
    private long lastId;
    private int waiters;

    private enum Outcome { Ordered, SoldOut, LimitReached }

    private Textbook(string folder)
    {
        connection = Database.Create(folder, Database.OrdersTable + "CREATE TABLE sales (id INTEGER PRIMARY KEY, left_units INTEGER NOT NULL);");
        stock = Command("SELECT left_units FROM sales WHERE id = @sale", "@sale");
        held = Command("SELECT COUNT(*) FROM orders WHERE sale_id = @sale AND user_id = @user", "@sale", "@user");
        take = Command("UPDATE sales SET left_units = left_units - @units WHERE id = @sale AND left_units >= @units", "@sale", "@units");
        insert = Command("INSERT INTO orders VALUES (@id, @sale, @user, 1, @units, @amount, 'pending', @at)",
            "@id", "@sale", "@user", "@units", "@amount", "@at");
    }

    public static async Task<int> RunAsync(string[] args)
    {
        var builder = Hosting.Build(args);
        var folder = builder.Configuration["data"] ?? throw new InvalidOperationException("--data <folder> is missing");
        using var shop = new Textbook(folder);
        var app = builder.Build();

        app.MapPut("/textbook/{sale:long}", (long sale, long stock) => shop.Open(sale, stock));
        app.MapPost("/textbook/{sale:long}/claims", (HttpContext context, long sale, ClaimRequest request) => shop.AnswerAsync(context, sale, request));
        app.MapGet("/textbook/{sale:long}/orders", (long sale) => shop.Count(sale).ToString(CultureInfo.InvariantCulture));
        app.MapGet("/health/ready", () => TypedResults.Ok());
        await app.RunAsync();
        return 0;
    }

    private async Task<IResult> AnswerAsync(HttpContext context, long sale, ClaimRequest request)
    {
        string authorization = context.Request.Headers.Authorization.ToString();
        if (!authorization.StartsWith("Bearer ", StringComparison.Ordinal)) return TypedResults.StatusCode(StatusCodes.Status401Unauthorized);
        if (Interlocked.Increment(ref waiters) > WaitersMax)
        {
            Interlocked.Decrement(ref waiters);
            return TypedResults.StatusCode(StatusCodes.Status503ServiceUnavailable);
        }

        await writer.WaitAsync(context.RequestAborted);
        try
        {
            return Order(sale, authorization["Bearer ".Length..], request.Units, out var id) switch
            {
                Outcome.Ordered => TypedResults.Json(new ClaimAnswer(id.ToString(CultureInfo.InvariantCulture), "confirmed"),
                    Wire.Default.ClaimAnswer, statusCode: StatusCodes.Status201Created),
                Outcome.SoldOut or Outcome.LimitReached => TypedResults.StatusCode(StatusCodes.Status409Conflict),
            };
        }
        finally
        {
            writer.Release();
            Interlocked.Decrement(ref waiters);
        }
    }

    private Outcome Order(long sale, string user, int units, out long id)
    {
        id = 0;
        using var transaction = connection.BeginTransaction(deferred: false);
        if ((long)Run(stock, transaction, sale).ExecuteScalar()! < units) return Outcome.SoldOut;
        if ((long)Run(held, transaction, sale, user).ExecuteScalar()! > 0) return Outcome.LimitReached;
        if (Run(take, transaction, sale, (long)units).ExecuteNonQuery() == 0) return Outcome.SoldOut;
        id = ++lastId;
        Run(insert, transaction, id, sale, user, (long)units, PriceCents * units, TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()).ExecuteNonQuery();
        transaction.Commit();
        return Outcome.Ordered;
    }

    private void Open(long sale, long stockUnits) =>
        Locked(() => Database.Execute(connection, string.Create(CultureInfo.InvariantCulture, $"INSERT INTO sales VALUES ({sale}, {stockUnits})")));

    private long Count(long sale)
    {
        long orders = 0;
        Locked(() =>
        {
            using var count = Command("SELECT COUNT(*) FROM orders WHERE sale_id = @sale", "@sale");
            count.Parameters[0].Value = sale;
            orders = (long)count.ExecuteScalar()!;
        });
        return orders;
    }

    // For the two calls outside the measurement.
    private void Locked(Action action)
    {
        writer.Wait();
        try
        {
            action();
        }
        finally
        {
            writer.Release();
        }
    }

    private SqliteCommand Command(string sql, params string[] parameters)
    {
        var command = connection.CreateCommand();
#pragma warning disable CA2100 // only the fixed texts above
        command.CommandText = sql;
#pragma warning restore CA2100
        foreach (var name in parameters) command.Parameters.Add(new SqliteParameter(name, null));
        return command;
    }

    private static SqliteCommand Run(SqliteCommand command, SqliteTransaction transaction, params ReadOnlySpan<object> values)
    {
        command.Transaction = transaction;
        for (var index = 0; index < values.Length; index++) command.Parameters[index].Value = values[index];
        return command;
    }

    public void Dispose()
    {
        foreach (var command in new[] { stock, held, take, insert }) command.Dispose();
        writer.Dispose();
        connection.Dispose();
    }
}
