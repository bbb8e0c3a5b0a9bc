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
    private const long SaleId = 7301;
    private const long PriceCents = 4_900;
    private const int WaitersMax = 10_000;

    private readonly SqliteConnection connection;
    private readonly SqliteCommand stock, held, take, insert;
    private readonly SemaphoreSlim writer = new(1, 1);
    private long lastId;
    private int waiters;

    private enum Outcome { Ordered, SoldOut, LimitReached }

    private Textbook(string folder, long stockUnits)
    {
        connection = Database.Create(folder, Database.OrdersTable + "CREATE TABLE sales (id INTEGER PRIMARY KEY, left_units INTEGER NOT NULL);");
        Database.Execute(connection, string.Create(CultureInfo.InvariantCulture, $"INSERT INTO sales VALUES ({SaleId}, {stockUnits})"));
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
        using var sale = new Textbook(folder, builder.Configuration.GetValue("stock", 10_000_000L));
        var app = builder.Build();

        app.MapPost("/textbook/claims", (HttpContext context, ClaimRequest request) => sale.AnswerAsync(context, request));
        app.MapGet("/textbook/orders", () => sale.Count().ToString(CultureInfo.InvariantCulture));
        app.MapGet("/health/ready", () => TypedResults.Ok());
        await app.RunAsync();
        return 0;
    }

    private async Task<IResult> AnswerAsync(HttpContext context, ClaimRequest request)
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
            return Order(authorization["Bearer ".Length..], request.Units, out var id) switch
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

    private Outcome Order(string user, int units, out long id)
    {
        id = 0;
        using var transaction = connection.BeginTransaction(deferred: false);
        if ((long)Run(stock, transaction, SaleId).ExecuteScalar()! < units) return Outcome.SoldOut;
        if ((long)Run(held, transaction, SaleId, user).ExecuteScalar()! > 0) return Outcome.LimitReached;
        if (Run(take, transaction, SaleId, (long)units).ExecuteNonQuery() == 0) return Outcome.SoldOut;
        id = ++lastId;
        Run(insert, transaction, id, SaleId, user, (long)units, PriceCents * units, TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()).ExecuteNonQuery();
        transaction.Commit();
        return Outcome.Ordered;
    }

    private long Count()
    {
        writer.Wait();
        try
        {
            using var count = connection.CreateCommand();
            count.CommandText = "SELECT COUNT(*) FROM orders";
            return (long)count.ExecuteScalar()!;
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
