using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using Dapper;
using FluentMigrator;
using Microsoft.AspNetCore.Http;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Http;

/// <summary>
/// One idempotency key, one effect. The key is stored in the same transaction as the effect, so after a crash there are both or neither.
/// (Claims keep their keys in the pool itself, see Claim.lua.)
/// </summary>
public sealed class Idempotency(Database database, TimeProvider time)
{
    // Longer than anybody repeats a request; without an end the table would only ever grow.
    private static readonly TimeSpan RememberedFor = TimeSpan.FromDays(30);

    /// <summary>The key of the request, or null when there is none.</summary>
    /// <exception cref="ProblemException">The header is not a key.</exception>
    public static string? KeyOf(HttpRequest request)
    {
        var header = request.Headers["Idempotency-Key"];
        if (header.Count == 0)
        {
            return null;
        }

        return header.Count == 1 && Names.IsIdempotencyKey(header[0])
            ? header[0]
            : throw new ProblemException(new Problem(
                400, "invalid-idempotency-key", "Not a key", "An Idempotency-Key has 16 to 64 characters of A–Z a–z 0–9 _ -, and is sent once."));
    }

    /// <summary>Runs the effect once for each key, and answers with the id of what it made, now and for every repeat.</summary>
    /// <param name="route">What the key is unique in, e.g. <c>POST flash-sales</c>.</param>
    /// <param name="request">Everything that the effect depends on; the same key with another request is refused.</param>
    /// <returns>The id, and whether the effect ran just now.</returns>
    /// <exception cref="ProblemException">422: the key was used for another request.</exception>
    /// <remarks>
    /// Run again when its commit got lost, if there is a key to find the first run by. Two requests with one key at once: both look, one inserts the key first, the other is taken back and looks again.
    /// </remarks>
    public Task<(long Id, bool IsNew)> OnceAsync(string? key, string route, string request, Func<DbTransaction, Task<long>> effect) =>
        database.WriteAsync(transaction => OnceAsync(transaction, key, route, request, effect), key is null ? LostCommit.Report : LostCommit.RunAgain);

    private async Task<(long Id, bool IsNew)> OnceAsync(DbTransaction transaction, string? key, string route, string request, Func<DbTransaction, Task<long>> effect)
    {
        if (key is null)
        {
            return (await effect(transaction), true);
        }

        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(request)));
        var before = await transaction.Connection!.QuerySingleOrDefaultAsync<(string Hash, long Id)?>(
            "SELECT request_hash, result_id FROM idempotency WHERE route = @route AND idempotency_key = @key", new { route, key }, transaction);
        if (before is { } known)
        {
            return known.Hash == hash
                ? (known.Id, false)
                : throw new ProblemException(new Problem(
                    422, "idempotency-key-reused", "Key used before", "This Idempotency-Key was used for another request. Make a new one for each new request."));
        }

        var id = await effect(transaction);
        var now = time.GetUtcNow();
        await transaction.Connection!.ExecuteAsync(
            "INSERT INTO idempotency (route, idempotency_key, request_hash, result_id, created_at) VALUES (@route, @key, @hash, @id, @now)",
            new { route, key, hash, id, now = now.ToUnixTimeMilliseconds() },
            transaction);

        // Each new key takes those along whose time has come since the last one: few, and by an index.
        await transaction.Connection!.ExecuteAsync(
            "DELETE FROM idempotency WHERE created_at < @ended", new { ended = (now - RememberedFor).ToUnixTimeMilliseconds() }, transaction);
        return (id, true);
    }
}

/// <summary>Keys of requests whose effect is in SQL.</summary>
[Migration(1002), InEveryDatabase]
public sealed class M1002_Idempotency : Migration
{
    public override void Up()
    {
        Create.Table("idempotency")
            .WithColumn("route").AsString(100).PrimaryKey()
            .WithColumn("idempotency_key").AsString(64).PrimaryKey()
            .WithColumn("request_hash").AsString(64).NotNullable()
            .WithColumn("result_id").AsInt64().NotNullable()
            .WithColumn("created_at").AsInt64().NotNullable();
    }

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}

/// <summary>By age, for the end of their time.</summary>
[Migration(1010), InEveryDatabase]
public sealed class M1010_IdempotencyAge : Migration
{
    public override void Up() => Create.Index("ix_idempotency_created").OnTable("idempotency").OnColumn("created_at").Ascending();

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}
