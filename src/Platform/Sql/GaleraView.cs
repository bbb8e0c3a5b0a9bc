using System.Globalization;
using MySqlConnector;

namespace Sluice.Platform.Sql;

/// <summary>How one node of a Galera cluster stands.</summary>
/// <param name="Name">Its <c>wsrep_node_name</c>.</param>
/// <param name="Cluster"><c>Primary</c>: it is with the majority. Otherwise it refuses everything.</param>
/// <param name="State"><c>Synced</c>, <c>Donor/Desynced</c>, <c>Joined</c> and so on.</param>
/// <param name="Nodes">How many nodes it sees, itself among them.</param>
/// <param name="Committed">The number of its last commit; the same everywhere once everybody has everything.</param>
public sealed record GaleraView(string Name, string Cluster, string State, int Nodes, long Committed)
{
    /// <summary>Null when it does not answer. Needs no right; one connection of its own.</summary>
    public static async Task<GaleraView?> TryLookAsync(string connectionString)
    {
        try
        {
            await using var connection = new MySqlConnection(new MySqlConnectionStringBuilder(connectionString)
            {
                // Of no database: a new cluster has none yet, and one that is cut off lets nobody use it.
                Database = "", Pooling = false, ConnectionTimeout = 2, DefaultCommandTimeout = 2, CancellationTimeout = -1,
            }.ConnectionString);
            await connection.OpenAsync();
            await using var command = new MySqlCommand(
                "SHOW GLOBAL VARIABLES LIKE 'wsrep_node_name'; SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_cluster_size', 'wsrep_last_committed')", connection);
            await using var reader = await command.ExecuteReaderAsync();
            var says = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            do
            {
                while (await reader.ReadAsync())
                {
                    says[reader.GetString(0)] = reader.GetString(1);
                }
            }
            while (await reader.NextResultAsync());
            return new GaleraView(
                says.GetValueOrDefault("wsrep_node_name", ""), says.GetValueOrDefault("wsrep_cluster_status", ""), says.GetValueOrDefault("wsrep_local_state_comment", ""),
                int.Parse(says.GetValueOrDefault("wsrep_cluster_size", "0"), CultureInfo.InvariantCulture), long.Parse(says.GetValueOrDefault("wsrep_last_committed", "0"), CultureInfo.InvariantCulture));
        }
        catch (MySqlException)
        {
            return null;
        }
    }
}
