using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Pools;

/// <summary>
/// What this node has acknowledged and SQL does not have yet, in memory: from here it comes back should Redis lose it (<see cref="KeepAcknowledged"/>, and every rebuild on this node).
/// Bounded by <see cref="PoolsOptions.AckJournalClaimsMax"/>; what does not fit is promised all the same, as far as <see cref="Durability"/> goes.
/// </summary>
/// <remarks>
/// With a real Redis in memory only: a file would be fsynced for each batch to guard against one more fault, the death of this node in the second in which Redis has lost its disk too (docs/adr/0009).
/// The embedded server dies with this process, so there what is acknowledged is also written down (<see cref="AckFile"/>).
/// </remarks>
public sealed class AckJournal : IDisposable
{
    private readonly PoolsOptions options;
    private readonly AckFile? file;
    private readonly bool writesDown;
    private readonly ConcurrentDictionary<long, PoolAcks> pools = new();

    // Files with lines of claims that did not fit into memory: read again as soon as they do.
    private readonly ConcurrentDictionary<int, bool> unread = new();
    private int count;
    private int unkept;

    /// <param name="options">Its bounds.</param>
    /// <param name="folder">Where a process before this one may have written down what it acknowledged; null: nowhere.</param>
    /// <param name="writesDown">Whether this one does.</param>
    public AckJournal(PoolsOptions options, string? folder = null, bool writesDown = false)
    {
        this.options = options;
        this.writesDown = writesDown && options.AckJournalClaimsMax > 0;
        if (folder is null || !(this.writesDown || Directory.Exists(folder)))
        {
            return;
        }

        file = new AckFile(folder);
        foreach (var number in file.Closed)
        {
            unread[number] = true;
        }

        ReadUnread(claimsMax: options.AckJournalClaimsMax);
    }

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

    /// <summary>Deletes the files of which SQL has every claim.</summary>
    /// <exception cref="IOException">Not now; nothing is lost by it.</exception>
    internal void DeleteSettled()
    {
        if (file is null)
        {
            return;
        }

        ReadUnread(claimsMax: options.AckJournalClaimsMax / 2);
        if (count == 0)
        {
            file.Close();
        }

        // The bound before the look: a claim is in memory before it has a line, so whatever is in a file that was closed by now is seen, or settled.
        var before = file.Current;
        foreach (var pool in pools.Values)
        {
            before = Math.Min(before, pool.OldestFile);
        }

        file.DeleteBefore(unread.IsEmpty ? before : Math.Min(before, unread.Keys.Min()));
    }

    public void Dispose() => file?.Dispose();

    // Whole files, the oldest first, as long as no more than so many claims are kept: what is read of one more goes beyond the bound, by a file at most.
    private void ReadUnread(int claimsMax)
    {
        foreach (var number in file!.Closed.Where(unread.ContainsKey).TakeWhile(_ => count <= claimsMax))
        {
            foreach (var claim in file.Read(number))
            {
                Of(claim.PoolId).Keep(claim, number);
            }

            unread.TryRemove(number, out _);
        }
    }

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

        // Of claims that are kept and not written down yet.
        private readonly ArrayBufferWriter<byte> lines = new();

        // Among them is a claim that memory has no place for.
        private bool linesUnkept;

        // Ids as they came. One that was forgotten meanwhile is passed over; one that is not settled goes to the end.
        private readonly Queue<long> order = new();

        public long PoolId => poolId;

        public bool IsEmpty => claims.Count == 0;

        /// <summary>The rebuild since which every claim here is known to be in Redis (<see cref="Pool.Generation"/>).</summary>
        public long Generation { get; private set; }

        /// <summary>The oldest file with a line of a claim that is kept; a number beyond all of them where nothing is.</summary>
        public int OldestFile
        {
            get
            {
                lock (claimsLock)
                {
                    return claims.Count == 0 ? int.MaxValue : claims.Values.Min(claim => claim.File);
                }
            }
        }

        /// <summary>For <see cref="KeepAcknowledged"/>: to which freeze these were handed in.</summary>
        public (string Run, string Freeze)? HandedTo { get; set; }

        /// <summary>For <see cref="KeepAcknowledged"/>: what it brought back, until it has seen where that ended.</summary>
        public HashSet<long> BroughtBack { get; } = [];

        /// <summary>Keeps a claim that is about to be acknowledged: in memory without an allocation of its own, as long as the journal does not grow; its line waits for <see cref="WriteDown"/>.</summary>
        /// <param name="generation">The pool's, at the moment at which the script found or made the claim.</param>
        public void Keep(long id, string userId, int units, string key, string? terms, long generation)
        {
            lock (claimsLock)
            {
                if (claims.ContainsKey(id))
                {
                    return;
                }

                var kept = new Acknowledged(userId, units, key, terms, journal.file?.Current ?? 0);
                if (journal.writesDown)
                {
                    AckFile.Add(lines, ToClaim(id, kept));
                }

                if (journal.TakePlace())
                {
                    Add(id, kept, generation);
                }
                else
                {
                    linesUnkept = journal.writesDown;
                }
            }
        }

        /// <summary>Keeps a claim that is written down in this file already, whatever the bound. Of which rebuild it is nobody knows.</summary>
        public void Keep(Claim claim, int number)
        {
            lock (claimsLock)
            {
                if (!claims.ContainsKey(claim.Id))
                {
                    Interlocked.Increment(ref journal.count);
                    Add(claim.Id, new(claim.UserId, claim.Units, claim.IdempotencyKey ?? "", claim.Terms, number), generation: 0);
                }
            }
        }

        /// <summary>Returns when whatever is kept is also written down, where this is done. Before anybody is told.</summary>
        /// <exception cref="DependencyUnavailableException">It is not; nobody may be told.</exception>
        public void WriteDown()
        {
            lock (claimsLock)
            {
                if (lines.WrittenCount == 0)
                {
                    return;
                }

                var file = journal.file!;
                try
                {
                    MarkUnread(file.Current);
                    MarkUnread(file.Append(lines.WrittenSpan));
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // The lines stay, for whoever asks again with the same key.
                    throw new DependencyUnavailableException("disk", "what was accepted could not be written down, so it is not acknowledged; ask again with the same key.", e);
                }

                lines.ResetWrittenCount();
                linesUnkept = false;
            }

            void MarkUnread(int number)
            {
                if (linesUnkept)
                {
                    journal.unread[number] = true;
                }
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

        private void Add(long id, in Acknowledged claim, long generation)
        {
            Generation = claims.Count == 0 ? generation : Math.Min(Generation, generation);
            claims.Add(id, claim);
            order.Enqueue(id);
        }

        private Claim ToClaim(long id, in Acknowledged claim) => new(id, poolId, claim.UserId, claim.Units, claim.Key.Length == 0 ? null : claim.Key, claim.Terms);
    }

    /// <param name="File">Where it is written down: in this file or a later one.</param>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Acknowledged(string UserId, int Units, string Key, string? Terms, int File);
}
