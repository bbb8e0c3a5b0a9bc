using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dapper;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sluice.Platform.Http;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;

namespace Sluice.Platform.Pools;

/// <summary>What the shop's servers see of a pool while it runs.</summary>
/// <param name="LeftUnits">In Redis.</param>
/// <param name="SetAsideUnits">What SQL would sell, should Redis be away.</param>
/// <param name="Lanes">Of a pool that is claimed from in several lanes; else left out.</param>
public sealed record PoolView(
    string Id, string Kind, string Title, string State, long CapacityUnits, long LeftUnits, long SetAsideUnits, long QueueDepth, long OldestAgeMs, long DeadLetters, long Version,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<LaneView>? Lanes);

/// <summary>One lane of a pool, in their order.</summary>
public sealed record LaneView(long CapacityUnits, long LeftUnits, long QueueDepth, long OldestAgeMs, long DeadLetters);

public sealed record PoolName(string Id, string Kind, string Title, string State);

public sealed record ClaimsLookup([property: Required] IReadOnlyList<string>? ClaimIds);

public sealed record ClaimRowView(string ClaimId, string UserId, string PoolId, int Units, string State, string? Reason, string? OrderId);

public sealed record DeadLetterView(string Entry, string Error, DateTime At);

public sealed record Moved(int Count);

/// <summary>The routes of pools: certificates for everybody, the inside for the shop's servers.</summary>
public static class PoolRoutes
{
    public const int LookupIdsMax = 1_000, PoolsMax = 1_000;

    private const int LettersMax = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/v1/pools/{id}/certificate", CertificateAsync).For(AccessRule.Public).WithTags("Proof")
            .WithSummary("The pool's certificate, signed").Produces<SignedCertificate>().Refuses(421, "other-node");
        routes.MapGet("/.well-known/sluice-keys", (Certificates certificates) => Results.Text(certificates.PublicKeys().ToJsonString(), "application/jwk-set+json"))
            .For(AccessRule.Public).WithTags("Proof").WithSummary("The public keys that certificates are signed with (JWK set)").WithoutEngines();
        routes.MapGet("/v1/pools", ListAsync).For(AccessRule.Server).WithTags("Pools").WithSummary($"Pools, newest first, {PoolsMax:N0} on a page").Produces<Page<PoolName>>()
            .TakesQuery("cursor", "What nextCursor said.", "236126096028886144");
        routes.MapGet("/v1/pools/{id}", PoolAsync).For(AccessRule.Server).WithTags("Pools").WithSummary("A pool from the inside: units left, queue, dead letters").Produces<PoolView>();
        routes.MapPost("/v1/claims/lookup", LookupAsync).For(AccessRule.Server).WithTags("Pools").WithSummary("Up to 1,000 claims as SQL has them").Produces<Page<ClaimRowView>>();
        routes.MapGet("/v1/pools/{id}/dead-letters", DeadLettersAsync).For(AccessRule.Server).WithTags("Pools").WithSummary("Entries that could not be written, and why").Produces<Page<DeadLetterView>>();
        routes.MapPost("/v1/pools/{id}/dead-letters/replay", ReplayAsync).For(AccessRule.Server).WithTags("Pools").WithSummary("Put them back into the queue").Produces<Moved>();
        routes.MapPost("/v1/pools/{id}/dead-letters/discard", DiscardAsync).For(AccessRule.Server).WithTags("Pools")
            .WithSummary("Give them up: recorded as rejected, their units go back to the pool").Produces<Moved>();
    }

    private static async Task<IResult> CertificateAsync(string id, Certificates certificates) =>
        Names.TryId(id, out var poolId) && await certificates.GetAsync(poolId) is { } certificate
            ? Results.Json(certificate, CertificateJson.Default.SignedCertificate)
            : Problem.NotFound("pool");

    private static async Task<IResult> ListAsync(HttpContext context, PoolStore pools)
    {
        if (Paging.CursorOf(context.Request) is not { } before)
        {
            return Paging.BadCursor;
        }

        var found = await pools.ListAsync(PoolsMax + 1, before);
        List<PoolName> items = [.. found.Take(PoolsMax).Select(pool => new PoolName(Names.Id(pool.Id), pool.Kind, pool.Title, PoolStore.GateName(pool.Gate)))];
        return Results.Json(new Page<PoolName>(items, found.Count > PoolsMax ? items[^1].Id : null), PoolsJson.Default.PagePoolName);
    }

    private static async Task<IResult> PoolAsync(string id, PoolStore pools, RedisConnection redis, TimeProvider time)
    {
        if (await FindAsync(id, pools) is not { } pool)
        {
            return Problem.NotFound("pool");
        }

        var lanes = await Task.WhenAll((await pools.LanesAsync([pool.Id]))[pool.Id].Select(LookAsync));
        return Results.Json(
            new PoolView(
                id, pool.Kind, pool.Title, PoolStore.GateName(pool.Gate), pool.CapacityUnits, lanes.Sum(lane => lane.LeftUnits), pool.SetAsideUnits - pool.SoldAsideUnits, lanes.Sum(lane => lane.QueueDepth),
                lanes.Max(lane => lane.OldestAgeMs), lanes.Sum(lane => lane.DeadLetters), pool.Version, lanes.Length > 1 ? lanes : null),
            PoolsJson.Default.PoolView);

        async Task<LaneView> LookAsync(Pool lane)
        {
            var keys = new PoolKeys(lane.Id);
            var left = redis.GuardAsync(keys.Left, db => db.StringGetAsync(keys.Left));
            var oldest = redis.GuardAsync(keys.Log, db => db.ListGetByIndexAsync(keys.Log, 0));
            var depth = redis.GuardAsync(keys.Log, db => db.ListLengthAsync(keys.Log));
            var dead = await redis.GuardAsync(keys.Dead, db => db.ListLengthAsync(keys.Dead));

            // The age of a queue entry is the age of its claim id, to the millisecond.
            var age = ClaimEntry.TryFromQueue(lane.Id, await oldest, out var claim) ? Math.Max(0, (long)(time.GetUtcNow() - Hosting.ClaimIds.TimeOf(claim.Id)).TotalMilliseconds) : 0;
            return new LaneView(lane.CapacityUnits, (long)await left, await depth, age, dead);
        }
    }

    // Lanes are parts of a pool: for others there are none.
    private static async Task<Pool?> FindAsync(string id, PoolStore pools) => Names.TryId(id, out var poolId) && await pools.FindAsync(poolId) is { RootId: null } pool ? pool : null;

    private static async Task<IResult> LookupAsync(ClaimsLookup request, Database database, IEnumerable<IPoolKind> kinds)
    {
        if (request.ClaimIds is not { Count: >= 1 and <= LookupIdsMax } texts)
        {
            return Problem.Invalid($"'claimIds' takes 1 to {LookupIdsMax} ids.");
        }

        var ids = new List<long>(texts.Count);
        foreach (var text in texts)
        {
            if (!Names.TryId(text, out var id))
            {
                return Problem.Invalid("'claimIds' takes ids as decimal strings.");
            }

            ids.Add(id);
        }

        var others = kinds.Where(kind => !kind.MakesOrders).Select(kind => kind.Kind).ToHashSet(StringComparer.Ordinal);
        var rows = await database.ReadAsync(connection => connection.QueryAsync<(long Id, long PoolId, string UserId, int Units, ClaimState State, string? Reason, string Kind)>(
            "SELECT c.id, COALESCE(p.root_id, c.pool_id), c.user_id, c.units, c.state, c.reason, p.kind FROM claims c JOIN pools p ON p.id = c.pool_id WHERE c.id IN @ids", new { ids = SqlList.Of(ids) }));
        return Results.Json(
            new Page<ClaimRowView>(
                [.. rows.Select(row => new ClaimRowView(
                    Names.Id(row.Id), row.UserId, Names.Id(row.PoolId), row.Units, StateName(row.State), row.Reason,
                    row.State == ClaimState.Rejected || others.Contains(row.Kind) ? null : Names.Id(row.Id)))],
                null),
            PoolsJson.Default.PageClaimRowView);
    }

    private static async Task<IResult> DeadLettersAsync(string id, PoolStore pools, RedisConnection redis)
    {
        if (await FindAsync(id, pools) is not { } pool)
        {
            return Problem.NotFound("pool");
        }

        var letters = new List<DeadLetter>();
        foreach (var lane in (await pools.LanesAsync([pool.Id]))[pool.Id])
        {
            letters.AddRange(await ClaimWriter.PartitionOf(lane.Id).DeadLettersAsync(redis, LettersMax - letters.Count));
        }

        return Results.Json(
            new Page<DeadLetterView>([.. letters.Select(letter => new DeadLetterView(letter.Entry, letter.Error, letter.At.UtcDateTime))], null),
            PoolsJson.Default.PageDeadLetterView);
    }

    private static async Task<IResult> ReplayAsync(string id, PoolStore pools, RedisConnection redis, QueueSignal signal, WriteQueueOptions options)
    {
        if (await FindAsync(id, pools) is not { } pool)
        {
            return Problem.NotFound("pool");
        }

        var moved = 0;
        foreach (var lane in (await pools.LanesAsync([pool.Id]))[pool.Id])
        {
            moved += await ClaimWriter.PartitionOf(lane.Id).ReplayAsync(redis, options.LagMax);
        }

        signal.Ring();
        return Results.Json(new Moved(moved), PoolsJson.Default.Moved);
    }

    private static async Task<IResult> DiscardAsync(string id, PoolStore pools, RedisConnection redis, ClaimWriter writer, PoolRebuilder rebuilder)
    {
        if (await FindAsync(id, pools) is not { } pool)
        {
            return Problem.NotFound("pool");
        }

        var moved = 0;
        foreach (var lane in (await pools.LanesAsync([pool.Id]))[pool.Id])
        {
            var discarded = await ClaimWriter.PartitionOf(lane.Id).DiscardAsync(redis, letter => writer.GiveUpAsync(lane.Id, letter));
            moved += discarded;
            if (discarded > 0)
            {
                await rebuilder.RebuildAsync(lane.Id);
            }
        }

        return Results.Json(new Moved(moved), PoolsJson.Default.Moved);
    }

    /// <summary>A claim's state on the wire.</summary>
    public static string StateName(ClaimState state) => state switch
    {
        ClaimState.Held => "held",
        ClaimState.Confirmed => "confirmed",
        ClaimState.Released => "released",
        ClaimState.Rejected => "rejected",
    };
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(PoolView))]
[JsonSerializable(typeof(Page<PoolName>))]
[JsonSerializable(typeof(ClaimsLookup))]
[JsonSerializable(typeof(Page<ClaimRowView>))]
[JsonSerializable(typeof(Page<DeadLetterView>))]
[JsonSerializable(typeof(Moved))]
public sealed partial class PoolsJson : JsonSerializerContext;
