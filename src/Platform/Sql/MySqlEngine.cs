using System.Collections.Frozen;
using System.Data;
using System.Data.Common;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using FluentMigrator;
using FluentMigrator.Runner;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using MySqlConnector;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>A MySQL or MariaDB server (InnoDB), through MySqlConnector.</summary>
/// <remarks>
/// READ COMMITTED for what writes: correctness comes from guarded updates, unique keys and rows that are locked before they are read (<see cref="Dialect.ForUpdate"/>), never from a snapshot.
/// REPEATABLE READ would add gap locks, on which batches of two workers deadlock, and would show a transaction that waited for a row the other rows as they were before it waited.
/// What only reads gets one snapshot (REPEATABLE READ, read only) and waits for nobody.
/// Row counts are rows changed (UseAffectedRows): <see cref="BatchInsert"/> tells new rows from old by them, and every guarded UPDATE changes what it guards.
/// </remarks>
internal sealed class MySqlEngine : ISqlEngine
{
    /// <summary>
    /// After so long without a word the server ends a connection and takes its transaction back. A node that vanished without a goodbye (power, network) would otherwise hold the rows that it had
    /// locked for hours. Connections that nobody uses are closed here before that.
    /// </summary>
    private static readonly TimeSpan SilenceMax = TimeSpan.FromSeconds(30);

    /// <summary>Longest wait for another node's migrations.</summary>
    private static readonly TimeSpan MigrationTurnMax = TimeSpan.FromMinutes(2);

    // What IsTransient of the driver does not know (1047, 1290, broken reads) is why this table is our own. 0: the driver's own errors.
    private static readonly FrozenDictionary<int, SqlFailure> Failures = new Dictionary<int, SqlFailure>
    {
        [1020] = SqlFailure.TakenBack, // a row changed since this transaction's snapshot
        [1205] = SqlFailure.TakenBack, // lock wait timeout: the statement only, but we roll the rest back
        [1213] = SqlFailure.TakenBack, // deadlock; on Galera also a conflict that the commit finds
        [1412] = SqlFailure.TakenBack, // a table was altered since this transaction's snapshot
        [1613] = SqlFailure.TakenBack, // XA: rolled back, took too long
        [1614] = SqlFailure.TakenBack, // XA: rolled back, deadlock

        [-1] = SqlFailure.Away, // the driver: the statement took longer than StatementTimeMax
        [1040] = SqlFailure.Away, // too many connections
        [1042] = SqlFailure.Away, // the driver: cannot connect, or no connection was free in time
        [1043] = SqlFailure.Away, // bad handshake: it dies while we connect
        [1047] = SqlFailure.Away, // Galera: this node is not part of the cluster now
        [1053] = SqlFailure.Away, // shutdown in progress
        [1077] = SqlFailure.Away,
        [1079] = SqlFailure.Away,
        [1080] = SqlFailure.Away,
        [1129] = SqlFailure.Away, // this host is blocked for its many errors
        [1152] = SqlFailure.Away,
        [1158] = SqlFailure.Away,
        [1159] = SqlFailure.Away,
        [1160] = SqlFailure.Away,
        [1161] = SqlFailure.Away,
        [1180] = SqlFailure.Away, // error during COMMIT
        [1184] = SqlFailure.Away,
        [1290] = SqlFailure.Away, // read-only: no longer, or not yet, the writer
        [1317] = SqlFailure.Away, // interrupted
        [1836] = SqlFailure.Away, // read-only
        [1927] = SqlFailure.Away, // connection was killed
        [1969] = SqlFailure.Away, // max_statement_time
        [2002] = SqlFailure.Away,
        [2003] = SqlFailure.Away,
        [2006] = SqlFailure.Away, // server has gone away
        [2013] = SqlFailure.Away, // lost connection during query
        [3024] = SqlFailure.Away, // max_execution_time
        [4031] = SqlFailure.Away, // disconnected for inactivity

        [1021] = SqlFailure.Stuck, // disk full
        [1044] = SqlFailure.Stuck, // no right to this database
        [1045] = SqlFailure.Stuck, // wrong user or password
        [1049] = SqlFailure.Stuck, // no such database
        [1114] = SqlFailure.Stuck, // table is full: mostly the disk
        [1226] = SqlFailure.Stuck, // the user's quota
        [1227] = SqlFailure.Stuck, // a right is missing
        [1142] = SqlFailure.Stuck, // a right on a table is missing

        [1062] = SqlFailure.Duplicate,
        [1586] = SqlFailure.Duplicate,
    }.ToFrozenDictionary();

    private readonly MySqlConnectionStringBuilder settings;
    private readonly SqlOptions options;
    private readonly Lock renewing = new();
    private volatile MySqlDataSource source;
    private long renewedAt;

    /// <param name="connection">The writer's, or a reader's.</param>
    public MySqlEngine(SqlOptions options, string connection)
    {
        this.options = options;
        settings = new MySqlConnectionStringBuilder(connection)
        {
            ApplicationName = "sluice",
            Pooling = true,
            MaximumPoolSize = (uint)options.ConnectionsMax,
            ConnectionTimeout = Seconds(options.ConnectTimeMax),
            DefaultCommandTimeout = Seconds(options.StatementTimeMax),
            CancellationTimeout = 1,
            ConnectionIdleTimeout = Seconds(SilenceMax / 2),

            // A connection comes back with its transaction ended, and everything else about it is as StartSession left it.
            ConnectionReset = false,
            UseAffectedRows = true,
            AllowUserVariables = false,
            AllowLoadLocalInfile = false,
            AutoEnlist = false,

            // A query of a snapshot is given the connection only, and runs in the one transaction that the connection has.
            IgnoreCommandTransaction = true,
            NoBackslashEscapes = false,
            PersistSecurityInfo = false,
        };
        source = NewSource();
        Describe = $"MySQL at {Place}";
    }

    public string Describe { get; private set; }

    public int WritersMax => options.WritersMax;

    public string TableQuery => "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = @table";

    private string Place => string.Create(CultureInfo.InvariantCulture, $"{settings.Server}:{settings.Port}/{settings.Database}");

    /// <summary>The Galera cluster that the server belongs to, or "". Known once a connection was opened.</summary>
    public string GaleraCluster { get; private set; } = "";

    public async Task<DbConnection> OpenAsync(bool writes) => await OpenAsync(CancellationToken.None);

    public async Task<MySqlConnection> OpenAsync(CancellationToken cancel)
    {
        while (true)
        {
            var from = source;
            try
            {
                return await from.OpenConnectionAsync(cancel);
            }
            catch (ObjectDisposedException) when (from != source)
            {
                // Renewed at this very moment.
            }
        }
    }

    /// <summary>How far a server is: each commit that was answered before is within it.</summary>
    public static async Task<string> PositionAsync(DbConnection connection)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = IsMariaDb((MySqlConnection)connection) ? "SELECT @@GLOBAL.gtid_binlog_pos" : "SELECT ''";
        return (string)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>Waits until this server has what the writer had at a position. False: not in time, or there is no way to know.</summary>
    /// <remarks>
    /// A Galera node of the writer's cluster waits by itself when the transaction begins (wsrep_sync_wait). A replica is asked for the writer's GTID; it compares with what it replicated, so a server that
    /// replicates from nobody never has it. MySQL counts GTIDs in another way, and is no reader.
    /// </remarks>
    public async Task<bool> HasCaughtUpAsync(MySqlConnection connection, string position, MySqlEngine writer, TimeSpan atMost, CancellationToken cancel)
    {
        if (GaleraCluster.Length > 0 && GaleraCluster == writer.GaleraCluster)
        {
            return true;
        }

        if (position.Length == 0 || !IsMariaDb(connection))
        {
            return false;
        }

        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT MASTER_GTID_WAIT(@position, @seconds)";
        command.Parameters.AddWithValue("@position", position);
        command.Parameters.AddWithValue("@seconds", atMost.TotalSeconds);
        return Convert.ToInt64(await command.ExecuteScalarAsync(cancel), CultureInfo.InvariantCulture) == 0;
    }

    public async Task<DbTransaction> BeginAsync(DbConnection connection, bool writes)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            // The driver gives every statement up in time but this one: a server that hangs, or is gone without a word, would be waited for until it is back.
            var begun = writes
                ? ((MySqlConnection)connection).BeginTransactionAsync(IsolationLevel.ReadCommitted)
                : ((MySqlConnection)connection).BeginTransactionAsync(IsolationLevel.Snapshot, isReadOnly: true);
            return begun.IsCompletedSuccessfully ? begun.Result : await begun.AsTask().WaitAsync(options.StatementTimeMax);
        }
        catch (Exception e) when (FailureOf(e) == SqlFailure.Away)
        {
            // The driver does not look whether a connection that lay idle still lives. If this one does not, neither do those beside it: the next is a new one.
            // And one that was given up may still be sent its answer: whoever used it after that would take this for the answer to a question of its own.
            await RenewAsync(started);
            throw;
        }
    }

    public SqlFailure FailureOf(Exception e) => e switch
    {
        MySqlException mysql when Failures.TryGetValue((int)mysql.ErrorCode, out var failure) => failure,
        MySqlException { InnerException: { } inner } => FailureOf(inner),
        MySqlProtocolException or IOException or SocketException or TimeoutException => SqlFailure.Away,
        _ => SqlFailure.None,
    };

    public string Says(Exception e) => e is MySqlException mysql ? string.Create(CultureInfo.InvariantCulture, $"{mysql.Message} ({(int)mysql.ErrorCode})") : e.Message;

    public void Prepare()
    {
        try
        {
            using var connection = source.OpenConnection();
            Describe = $"{(IsMariaDb(connection) ? "MariaDB" : "MySQL")} {connection.ServerVersion.Replace("5.5.5-", "", StringComparison.Ordinal).Split('-')[0]}{(GaleraCluster.Length > 0 ? " (Galera)" : "")} at {Place}";
            DemandDurability(connection);
        }
        catch (Exception e) when (FailureOf(e) != SqlFailure.None)
        {
            throw new DependencyUnavailableException("sql", $"cannot use {Describe}: {Says(e)}", e);
        }
    }

    // A lock of the server's, held by a connection of its own: a node that dies loses both.
    public IDisposable TakeMigrationTurn()
    {
        var connection = new MySqlConnection(new MySqlConnectionStringBuilder(settings.ConnectionString) { Pooling = false, DefaultCommandTimeout = Seconds(MigrationTurnMax * 2) }.ConnectionString);
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT GET_LOCK(@name, @seconds)";

        // At most 64 characters, and one for each database of the server.
        command.Parameters.AddWithValue("@name", $"sluice-migrate-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(settings.Database)))[..32]}");
        command.Parameters.AddWithValue("@seconds", Seconds(MigrationTurnMax));
        if (Convert.ToInt64(command.ExecuteScalar() ?? 0, CultureInfo.InvariantCulture) == 1)
        {
            return connection;
        }

        connection.Dispose();
        throw new DependencyUnavailableException("sql", $"another node has been migrating {Place} for {MigrationTurnMax.TotalMinutes:0} minutes.");
    }

    public void AddRunner(IMigrationRunnerBuilder runner)
    {
        runner.AddMySql8().WithGlobalConnectionString(
            new MySqlConnectionStringBuilder(settings.ConnectionString) { Pooling = false, AllowUserVariables = true, DefaultCommandTimeout = Seconds(MigrationTurnMax) }.ConnectionString);
        runner.Services.RemoveAll<IMigrationProcessor>().AddScoped<IMigrationProcessor, MigrationSteps>();
    }

    // User ids, keys and SKUs are compared byte for byte, as SQLite does; the default of a server takes 'U-1' for 'u-1'.
    // (utf8mb4_bin ignores blanks at the end. None of these may hold a blank: Names.cs.)
    public void Finish()
    {
        using var connection = source.OpenConnection();
        using var strangers = connection.CreateCommand();
        strangers.CommandText =
            "SELECT DISTINCT c.table_name FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name " +
            "WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.collation_name <> 'utf8mb4_bin' AND c.collation_name IS NOT NULL";
        var tables = new List<string>();
        using (var reader = strangers.ExecuteReader())
        {
            while (reader.Read())
            {
                tables.Add(reader.GetString(0));
            }
        }

        foreach (var table in tables)
        {
            using var convert = connection.CreateCommand();
            convert.CommandTimeout = (int)Seconds(MigrationTurnMax);
            convert.CommandText = $"ALTER TABLE `{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
            convert.ExecuteNonQuery();
        }
    }

    public void Dispose() => source.Dispose();

    private static uint Seconds(TimeSpan time) => (uint)Math.Ceiling(time.TotalSeconds);

    // Nothing here may depend on how the server was set up. Strict: what does not fit is an error, never a shorter text.
    // The driver escapes with backslashes, so NO_BACKSLASH_ESCAPES must be off.
    private MySqlDataSource NewSource() => new MySqlDataSourceBuilder(settings.ConnectionString).UseConnectionOpenedCallback(StartSessionAsync).Build();

    /// <summary>Returns when no connection that was taken before this moment will ever be used again by somebody else: the idle ones are closed, the others as soon as they come back.</summary>
    /// <remarks>Not MySqlConnection.ClearPool: that knows the pools of connection strings, and not the pool of a data source.</remarks>
    private async Task RenewAsync(long takenBefore)
    {
        MySqlDataSource old;
        lock (renewing)
        {
            if (renewedAt > takenBefore)
            {
                return;
            }

            (old, source, renewedAt) = (source, NewSource(), Stopwatch.GetTimestamp());
        }

        await old.DisposeAsync();
    }

    private async ValueTask StartSessionAsync(MySqlConnectionOpenedContext context, CancellationToken cancel)
    {
        if (!context.Conditions.HasFlag(MySqlConnectionOpenedConditions.New))
        {
            return;
        }

        await using var command = context.Connection.CreateCommand();
        command.CommandText =
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', autocommit = 1, " +
            string.Create(CultureInfo.InvariantCulture, $"innodb_lock_wait_timeout = {Seconds(options.LockWaitMax)}, wait_timeout = {Seconds(SilenceMax)}");
        if (IsMariaDb(context.Connection))
        {
            // Lists stay lists: from a thousand elements on MariaDB makes them a subquery otherwise, see SqlList.
            command.CommandText += ", in_predicate_conversion_threshold = 0";
            GaleraCluster = await GaleraClusterAsync(context.Connection, cancel);
            if (GaleraCluster.Length > 0)
            {
                // A node of a cluster may have a commit of another one a moment later. Whoever begins a transaction waits for it: the writer may have been another node a moment ago.
                command.CommandText += ", wsrep_sync_wait = 1";
            }
        }

        await command.ExecuteNonQueryAsync(cancel);
    }

    // SHOW is answered by a node that is cut off too, and by a server that does not know the names.
    private static async Task<string> GaleraClusterAsync(MySqlConnection connection, CancellationToken cancel)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_provider_name', 'wsrep_cluster_state_uuid')";
        var says = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        await using var reader = await command.ExecuteReaderAsync(cancel);
        while (await reader.ReadAsync(cancel))
        {
            says[reader.GetString(0)] = reader.GetString(1);
        }

        return says.GetValueOrDefault("wsrep_provider_name", "") is { Length: > 0 } provider ? $"{provider} {says.GetValueOrDefault("wsrep_cluster_state_uuid", "")}" : "";
    }

    private static bool IsMariaDb(MySqlConnection connection) => connection.ServerVersion.Contains("MariaDB", StringComparison.OrdinalIgnoreCase);

    private void DemandDurability(MySqlConnection connection)
    {
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.log_bin, @@GLOBAL.sync_binlog, @@GLOBAL.binlog_format";
        using var reader = command.ExecuteReader();
        reader.Read();
        var (flush, binlog, sync) = (reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2));
        if ((flush != 1 || (binlog == 1 && sync != 1)) && !options.AcceptWeakDurability)
        {
            throw new DependencyUnavailableException(
                "sql",
                string.Create(CultureInfo.InvariantCulture, $"{Describe} has innodb_flush_log_at_trx_commit = {flush}{(binlog == 1 ? $" and sync_binlog = {sync}" : "")}, ") +
                "but what is confirmed must survive this server: set both to 1, or set Sql:AcceptWeakDurability=true for a trial.");
        }

        if (binlog == 1 && reader.GetString(3) == "STATEMENT")
        {
            throw new DependencyUnavailableException("sql", $"{Describe} has binlog_format = STATEMENT, which cannot log READ COMMITTED transactions: set it to ROW.");
        }
    }
}
