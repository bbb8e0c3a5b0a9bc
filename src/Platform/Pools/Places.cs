using System.Data.Common;
using Dapper;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Pools;

/// <summary>Which places (0 … limit - 1) users take among their claims of a pool, and how many units they hold.</summary>
internal sealed class Places(long limit, Dictionary<string, (HashSet<int> Taken, long Units)> users)
{
    private readonly Dictionary<long, int> given = [];

    /// <summary>As SQL has them for the users of these claims.</summary>
    public static async Task<Places> ReadAsync(DbTransaction transaction, Pool pool, List<Claim> claims)
    {
        var held = (await transaction.Connection!.QueryAsync<(string UserId, int Ordinal, int Units)>(
            "SELECT user_id, ordinal, units FROM claims WHERE pool_id = @poolId AND ordinal IS NOT NULL AND user_id IN @users",
            new { poolId = pool.Id, users = SqlList.Of(claims.Select(claim => claim.UserId).Distinct()) },
            transaction)).ToLookup(row => row.UserId);
        return new Places(pool.PerUserLimit, claims.Select(claim => claim.UserId).Distinct().ToDictionary(
            user => user, user => (held[user].Select(row => row.Ordinal).ToHashSet(), held[user].Sum(row => (long)row.Units)), StringComparer.Ordinal));
    }

    public bool Has(Claim claim) => users[claim.UserId].Units + claim.Units <= limit;

    public int? OrdinalOf(Claim claim) => given[claim.Id];

    public void Take(Claim claim)
    {
        var (taken, units) = users[claim.UserId];
        var ordinal = 0;
        while (!taken.Add(ordinal))
        {
            ordinal++;
        }

        given[claim.Id] = ordinal;
        users[claim.UserId] = (taken, units + claim.Units);
    }

    public void GiveBack(Claim claim)
    {
        var (taken, units) = users[claim.UserId];
        taken.Remove(given[claim.Id]);
        users[claim.UserId] = (taken, units - claim.Units);
    }
}
