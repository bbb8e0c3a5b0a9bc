using System.Globalization;
using MySqlConnector;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>How a server of a replicated MariaDB stands.</summary>
/// <param name="IsWritable">It takes writes: the primary.</param>
/// <param name="IsFollowing">Both of its replication threads run.</param>
/// <param name="SecondsBehind">How old what it replays is, or null where nobody can say.</param>
/// <param name="Received">What it has received from the primary, as a GTID list.</param>
/// <param name="Followers">Semi-synchronous replicas that are connected to it now.</param>
/// <param name="Says">Its last replication error, or empty.</param>
public sealed record ReplicatedView(bool IsWritable, bool IsFollowing, long? SecondsBehind, string Received, int Followers, string Says);

/// <summary>
/// One server of a MariaDB that is replicated semi-synchronously by GTID: a commit on the primary returns after one replica has it on its disk (AFTER_SYNC).
/// Needs a user with all rights; the nodes of Sluice never use it.
/// </summary>
/// <remarks>
/// A replica must not wait for replicas itself (its SQL thread would wait for ever), so <c>rpl_semi_sync_master_enabled</c> is switched on where a server is made the primary, and off where it follows.
/// </remarks>
public sealed class ReplicatedServer(string host, int port, string user, string password)
{
    /// <summary>How long a replica may take to replay what it has received, before a promotion gives up.</summary>
    public static readonly TimeSpan ReplayTimeMax = TimeSpan.FromSeconds(60);

    private readonly string connection = new MySqlConnectionStringBuilder
    {
        Server = host, Port = (uint)port, UserID = user, Password = password, Pooling = false, ConnectionTimeout = 3, DefaultCommandTimeout = 90,
    }.ConnectionString;

    public string Host => host;

    public int Port => port;

    /// <summary>Null when it does not answer.</summary>
    public async Task<ReplicatedView?> TryLookAsync(CancellationToken cancel = default)
    {
        try
        {
            return await LookAsync(cancel);
        }
        catch (DependencyUnavailableException)
        {
            return null;
        }
    }

    /// <exception cref="DependencyUnavailableException">It does not answer.</exception>
    public Task<ReplicatedView> LookAsync(CancellationToken cancel = default) => UseAsync(
        async open =>
        {
            var isWritable = await ScalarAsync(open, "SELECT @@GLOBAL.read_only", cancel) is not true and var readOnly && Convert.ToInt64(readOnly, CultureInfo.InvariantCulture) == 0;
            var followers = Convert.ToInt32(
                await ScalarAsync(open, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS'", cancel) ?? 0, CultureInfo.InvariantCulture);
            await using var command = new MySqlCommand("SHOW REPLICA STATUS", open);
            await using var reader = await command.ExecuteReaderAsync(cancel);
            if (!await reader.ReadAsync(cancel))
            {
                return new ReplicatedView(isWritable, IsFollowing: false, null, "", followers, "");
            }

            var behind = reader["Seconds_Behind_Master"];
            return new ReplicatedView(
                isWritable,
                (string)reader["Slave_IO_Running"] == "Yes" && (string)reader["Slave_SQL_Running"] == "Yes",
                behind is DBNull ? null : Convert.ToInt64(behind, CultureInfo.InvariantCulture),
                Convert.ToString(reader["Gtid_IO_Pos"], CultureInfo.InvariantCulture) ?? "",
                followers,
                $"{reader["Last_IO_Error"]} {reader["Last_SQL_Error"]}".Trim());
        },
        cancel);

    /// <summary>Makes it the primary: it takes writes, and from now on each commit waits for a replica. Nothing if it is so already.</summary>
    public Task LeadAsync(CancellationToken cancel) => RunAsync(cancel, "SET GLOBAL rpl_semi_sync_master_enabled = ON", "SET GLOBAL read_only = OFF");

    /// <summary>
    /// Makes it a replica of another, from where its own log ends: a replica logs what it replays (<c>log_slave_updates</c>), and what a former primary wrote itself is what it has.
    /// </summary>
    /// <param name="replicationUser">A user of the primary with the right REPLICATION SLAVE.</param>
    public Task FollowAsync(ReplicatedServer primary, string replicationUser, string replicationPassword, CancellationToken cancel) => RunAsync(
        cancel,
        [
            "SET GLOBAL read_only = ON",
            "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
            "STOP SLAVE",
            "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_binlog_pos",
            string.Create(CultureInfo.InvariantCulture, $"CHANGE MASTER TO MASTER_HOST = '{primary.Host}', MASTER_PORT = {primary.Port}, MASTER_USER = '{replicationUser}', ") +
            $"MASTER_PASSWORD = '{replicationPassword}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1",
            "START SLAVE",
        ]);

    /// <summary>
    /// Makes one of the replicas the primary, the others follow it. The former primary must be dead or cut off before: nothing here stops it.
    /// Every commit that was answered is on at least one replica; the one that received most has them all.
    /// </summary>
    /// <param name="wanted">The replica to be promoted, or null for the one that has received most. Refused if another has received more.</param>
    /// <returns>The new primary.</returns>
    /// <exception cref="DependencyUnavailableException">No replica answers, or the wanted one lacks something.</exception>
    public static async Task<ReplicatedServer> PromoteAsync(
        IReadOnlyList<ReplicatedServer> replicas, ReplicatedServer? wanted, string replicationUser, string replicationPassword, CancellationToken cancel)
    {
        // Step 1: nobody receives any more, and what was received is replayed.
        var ready = new List<(ReplicatedServer Server, string Received)>();
        foreach (var replica in replicas)
        {
            if (await replica.TryLookAsync(cancel) is null)
            {
                continue;
            }

            await replica.RunAsync(cancel, "STOP SLAVE IO_THREAD");
            var received = (await replica.LookAsync(cancel)).Received;
            await replica.AwaitReplayAsync(received, cancel);
            ready.Add((replica, received));
        }

        // Step 2: the one that has most.
        if (ready.Count == 0)
        {
            throw new DependencyUnavailableException("sql", "no replica answers, so there is nobody to promote.");
        }

        var most = ready.MaxBy(each => LastSequence(each.Received));
        var best = wanted is null ? most : ready.FirstOrDefault(each => each.Server == wanted);
        if (best.Server is null || LastSequence(best.Received) < LastSequence(most.Received))
        {
            foreach (var (server, _) in ready)
            {
                await server.RunAsync(cancel, "START SLAVE");
            }

            throw new DependencyUnavailableException("sql", best.Server is null
                ? string.Create(CultureInfo.InvariantCulture, $"the replica on port {wanted!.Port} does not answer.")
                : string.Create(CultureInfo.InvariantCulture, $"the replica on port {wanted!.Port} has received up to {best.Received}, another up to {most.Received}: promoting it would lose commits."));
        }

        // Step 3: it leads. Until a replica follows it, its commits wait.
        await best.Server.RunAsync(cancel, "STOP SLAVE", "RESET SLAVE ALL");
        await best.Server.LeadAsync(cancel);

        // Step 4: the others follow it.
        foreach (var (server, _) in ready.Where(each => each.Server != best.Server))
        {
            await server.FollowAsync(best.Server, replicationUser, replicationPassword, cancel);
        }

        return best.Server;
    }

    // One domain, so the last number of domain-server-sequence says how far it is.
    private static long LastSequence(string gtid) =>
        long.TryParse(gtid.Split(',')[0].Split('-')[^1], NumberStyles.None, CultureInfo.InvariantCulture, out var sequence) ? sequence : 0;

    private Task<bool> AwaitReplayAsync(string received, CancellationToken cancel) => UseAsync(
        async open =>
        {
            if (received.Length > 0 && Convert.ToInt32(
                await ScalarAsync(open, string.Create(CultureInfo.InvariantCulture, $"SELECT MASTER_GTID_WAIT('{received}', {ReplayTimeMax.TotalSeconds:0})"), cancel), CultureInfo.InvariantCulture) != 0)
            {
                throw new DependencyUnavailableException("sql", $"the replica on port {port} has not replayed {received} within {ReplayTimeMax.TotalSeconds:0} s.");
            }

            return true;
        },
        cancel);

    private Task<bool> RunAsync(CancellationToken cancel, params IEnumerable<string> statements) => UseAsync(
        async open =>
        {
            foreach (var statement in statements)
            {
                await using var command = new MySqlCommand(statement, open);
                await command.ExecuteNonQueryAsync(cancel);
            }

            return true;
        },
        cancel);

    private static async Task<object?> ScalarAsync(MySqlConnection open, string sql, CancellationToken cancel)
    {
        await using var command = new MySqlCommand(sql, open);
        return await command.ExecuteScalarAsync(cancel);
    }

    private async Task<T> UseAsync<T>(Func<MySqlConnection, Task<T>> use, CancellationToken cancel)
    {
        try
        {
            await using var open = new MySqlConnection(connection);
            await open.OpenAsync(cancel);
            return await use(open);
        }
        catch (Exception e) when (e is MySqlException or IOException or System.Net.Sockets.SocketException or TimeoutException)
        {
            throw new DependencyUnavailableException("sql", string.Create(CultureInfo.InvariantCulture, $"the server on port {port}: {e.Message}"), e);
        }
    }
}
