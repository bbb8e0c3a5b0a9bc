using MySqlConnector;

namespace Sluice.Platform.Sql;

/// <summary>
/// Asks one MySQL or MariaDB server whether it may be written now: what a proxy that has to find the writer must know. A server that is alive may be a replica, read-only,
/// cut off from its cluster, or still behind it.
/// </summary>
public static class WritableCheck
{
    /// <summary>Null when it may be written; otherwise the reason, without any password.</summary>
    /// <param name="connectionString">Of a user who needs no right at all.</param>
    /// <param name="atMost">A server that says nothing for so long is frozen, and not writable.</param>
    public static async Task<string?> WhyNotAsync(string connectionString, TimeSpan atMost)
    {
        try
        {
            return await AskAsync(connectionString).WaitAsync(atMost);
        }
        catch (TimeoutException)
        {
            return $"it did not answer within {atMost.TotalMilliseconds:0} ms";
        }
        catch (MySqlException e)
        {
            return $"{e.Message} ({(int)e.ErrorCode})";
        }
    }

    // A connection of its own each time: what a kept one says is what the server was when it was opened. One that is given up ends itself after a second.
    private static async Task<string?> AskAsync(string connectionString)
    {
        await using var connection = new MySqlConnection(new MySqlConnectionStringBuilder(connectionString)
        {
            Pooling = false, ConnectionTimeout = 1, DefaultCommandTimeout = 1, CancellationTimeout = -1, ApplicationName = "sluice check-sql",
        }.ConnectionString);
        await connection.OpenAsync();
        var says = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);

        // SHOW is answered by a node that is cut off too, and knows no error for a name that this server does not have.
        await using var command = new MySqlCommand(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on'); SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_local_state')", connection);
        await using var reader = await command.ExecuteReaderAsync();
        do
        {
            while (await reader.ReadAsync())
            {
                says[reader.GetString(0)] = reader.GetString(1);
            }
        }
        while (await reader.NextResultAsync());

        string Of(string name) => says.GetValueOrDefault(name, "");
        const string Synced = "4";
        return Of("read_only") is "ON" or "1" ? "read_only is ON"
            : Of("wsrep_on") is not ("ON" or "1") ? null
            : Of("wsrep_cluster_status") != "Primary" ? $"wsrep_cluster_status is {Of("wsrep_cluster_status")}"
            : Of("wsrep_local_state") != Synced ? $"wsrep_local_state is {Of("wsrep_local_state")}, not {Synced} (synced)"
            : null;
    }
}
