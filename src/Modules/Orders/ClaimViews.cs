using Dapper;
using Sluice.Modules.Orders.Contracts;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;

namespace Sluice.Modules.Orders;

/// <summary>Finds a claim wherever it is by now: in SQL with its order, or still in the pool's holders.</summary>
internal sealed class ClaimViews(Database database, PoolStore pools, RedisConnection redis, PlacedOrders orders, OrderBook book, IEnumerable<IPoolKind> kinds, TimeProvider time)
{
    // A worker needs milliseconds from its commit to showing the orders; one that died, until its batch comes again.
    private static readonly TimeSpan ShownAfter = TimeSpan.FromMinutes(1);

    /// <summary>Of each kind the newest pools whose holders are asked for a claim that SQL does not have yet, where nobody says which.</summary>
    private const int LivePoolsMax = 100;

    /// <param name="user">Whose claim it must be, or null for the shop's servers (which see what SQL has).</param>
    /// <param name="poolId">Where it is, if known.</param>
    public async Task<ClaimView?> FindAsync(long claimId, string? user, long? poolId = null)
    {
        var row = await database.ReadAsync(connection => connection.QuerySingleOrDefaultAsync<(long PoolId, string UserId, long Units, ClaimState State, string? Reason, string Kind)?>(
            "SELECT COALESCE(p.root_id, p.id), c.user_id, c.units, c.state, c.reason, p.kind FROM claims c JOIN pools p ON p.id = c.pool_id WHERE c.id = @claimId", new { claimId }));
        if (row is { } claim)
        {
            if (user is not null && claim.UserId != user)
            {
                return null;
            }

            // Whoever learns here of an order, or of what else a claim becomes, finds it in their list, also when the worker that wrote it has not shown it yet.
            var kind = kinds.FirstOrDefault(kind => kind.Kind == claim.Kind);
            if (claim.State == ClaimState.Confirmed && time.GetUtcNow() - ClaimIds.TimeOf(claimId) < ShownAfter)
            {
                await orders.ShowNowAsync(claim.UserId, kind?.KeysOf(claim.UserId) ?? []);
            }

            return new ClaimView(
                Names.Id(claimId), Names.Id(claim.PoolId), (int)claim.Units, PoolRoutes.StateName(claim.State), claim.Reason,
                kind is { MakesOrders: false } ? null : await book.FindOfClaimAsync(claimId));
        }

        return user is null ? null : await FindHeldAsync(claimId, user, poolId);
    }

    // The id does not say which pool, so where nobody says it the user is looked up in each pool that can have claims on their way: one command each, in one go.
    private async Task<ClaimView?> FindHeldAsync(long claimId, string user, long? poolId)
    {
        List<long> live = [];
        if (poolId is { } named)
        {
            live.Add(named);
        }
        else
        {
            foreach (var kind in kinds)
            {
                live.AddRange(await database.ReadAsync(connection => connection.QueryAsync<long>(
                    "SELECT id FROM pools WHERE kind = @Kind AND root_id IS NULL ORDER BY id DESC LIMIT @LivePoolsMax", new { kind.Kind, LivePoolsMax })));
            }
        }

        var lanes = await pools.LanesAsync(live);
        var asked = live.FindAll(lanes.Contains).ConvertAll(pool =>
        {
            var of = lanes[pool].ToList();
            var holders = new PoolKeys(of[Lanes.Of(user, of.Count)].Id).Holders;
            return (Pool: pool, Holders: holders, Holder: redis.GuardAsync(holders, db => db.HashGetAsync(holders, user)));
        });
        ClaimView? found = null;
        try
        {
            await redis.EachAsync(asked, one => one.Holders, async one =>
            {
                if (ClaimEntry.FromHolder((await one.Holder).ToString()).FirstOrDefault(held => held.Id == claimId) is { Id: > 0 } held)
                {
                    found = new ClaimView(Names.Id(claimId), Names.Id(one.Pool), held.Units, held.Released ? "released" : "held", null, null);
                }
            });
        }
        catch (DependencyUnavailableException) when (found is not null)
        {
            // A server is away, and it is not the one that has the claim.
        }

        return found;
    }
}
