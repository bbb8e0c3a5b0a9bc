using System.Collections.Concurrent;

namespace Sluice.Platform.Pools;

/// <summary>
/// What this node has acknowledged and SQL does not have yet, in memory: from here it comes back should Redis lose it (<see cref="KeepAcknowledged"/>, and every rebuild on this node).
/// Bounded by <see cref="PoolsOptions.AckJournalClaimsMax"/>; what does not fit is promised all the same, as far as <see cref="Durability"/> goes.
/// </summary>
/// <remarks>
/// In memory only: a file would be fsynced for each batch to guard against one more fault, the death of this node in the second in which Redis has lost its disk too. docs/adr/0009.
/// </remarks>
public sealed class AckJournal(PoolsOptions options)
{
    private readonly ConcurrentDictionary<long, PoolAcks> pools = new();
    private int count;
    private int unkept;

    /// <summary>Claims of all pools.</summary>
    public int Count => count;

    /// <summary>Every pool of which claims are kept.</summary>
    internal IEnumerable<PoolAcks> Waiting => pools.Values.Where(pool => !pool.IsEmpty);

    /// <summary>What is kept of a pool. A copy.</summary>
    public IReadOnlyList<Claim> Claims(long poolId) => pools.TryGetValue(poolId, out var pool) ? pool.Claims() : [];

    /// <summary>SQL has them, as whatever: their owners can be told from there.</summary>
    public void Forget(long poolId, IEnumerable<long> claimIds)
    {
        if (pools.TryGetValue(poolId, out var pool))
        {
            pool.Forget(claimIds);
        }
    }

    /// <summary>How many did not fit since the last call.</summary>
    internal int TakeUnkept() => Interlocked.Exchange(ref unkept, 0);

    internal PoolAcks Of(long poolId) => pools.GetOrAdd(poolId, id => new PoolAcks(this, id));

    private bool TakePlace()
    {
        if (Interlocked.Increment(ref count) <= options.AckJournalClaimsMax)
        {
            return true;
        }

        Interlocked.Decrement(ref count);
        Interlocked.Increment(ref unkept);
        return false;
    }

    /// <summary>The claims of one pool, the oldest first.</summary>
    internal sealed class PoolAcks(AckJournal journal, long poolId)
    {
        private readonly Lock claimsLock = new();
        private readonly Dictionary<long, Acknowledged> claims = [];

        // Ids as they came. One that was forgotten meanwhile is passed over; one that is not settled goes to the end.
        private readonly Queue<long> order = new();

        public long PoolId => poolId;

        public bool IsEmpty => claims.Count == 0;

        /// <summary>The rebuild since which every claim here is known to be in Redis (<see cref="Pool.Generation"/>).</summary>
        public long Generation { get; private set; }

        /// <summary>For <see cref="KeepAcknowledged"/>: to which freeze these were handed in.</summary>
        public (string Run, string Freeze)? HandedTo { get; set; }

        /// <summary>For <see cref="KeepAcknowledged"/>: what it brought back, until it has seen where that ended.</summary>
        public HashSet<long> BroughtBack { get; } = [];

        /// <summary>Keeps a claim that is about to be acknowledged. Without an allocation of its own, as long as the journal does not grow.</summary>
        /// <param name="generation">The pool's, at the moment at which the script found or made the claim.</param>
        public void Keep(long id, string userId, int units, string key, string? terms, long generation)
        {
            lock (claimsLock)
            {
                if (claims.ContainsKey(id) || !journal.TakePlace())
                {
                    return;
                }

                Generation = claims.Count == 0 ? generation : Math.Min(Generation, generation);
                claims.Add(id, new(userId, units, key, terms));
                order.Enqueue(id);
            }
        }

        public void Forget(IEnumerable<long> ids)
        {
            lock (claimsLock)
            {
                foreach (var id in ids)
                {
                    if (claims.Remove(id))
                    {
                        Interlocked.Decrement(ref journal.count);
                    }
                }

                if (claims.Count == 0)
                {
                    order.Clear();
                }
            }
        }

        public IReadOnlyList<Claim> Claims()
        {
            lock (claimsLock)
            {
                return [.. claims.Select(claim => ToClaim(claim.Key, claim.Value))];
            }
        }

        /// <summary>The next ids to look for in SQL; they come again after all others.</summary>
        public IReadOnlyList<long> Next(int idsMax)
        {
            lock (claimsLock)
            {
                var ids = new List<long>();
                for (var looked = order.Count; looked > 0 && ids.Count < idsMax; looked--)
                {
                    var id = order.Dequeue();
                    if (claims.ContainsKey(id))
                    {
                        ids.Add(id);
                        order.Enqueue(id);
                    }
                }

                return ids;
            }
        }

        /// <summary>Takes all claims for checked as of this rebuild, and returns them to be checked. One that is kept meanwhile and is of an older rebuild asks for the next check.</summary>
        public (IReadOnlyList<Claim> Claims, long Before) BeginCheck(long generation)
        {
            lock (claimsLock)
            {
                var before = Generation;
                Generation = generation;
                return (Claims(), before);
            }
        }

        /// <summary>The check was not finished.</summary>
        public void Uncheck(long generation)
        {
            lock (claimsLock)
            {
                Generation = Math.Min(Generation, generation);
            }
        }

        private Claim ToClaim(long id, Acknowledged claim) => new(id, poolId, claim.UserId, claim.Units, claim.Key.Length == 0 ? null : claim.Key, claim.Terms);
    }

    private readonly record struct Acknowledged(string UserId, int Units, string Key, string? Terms);
}
