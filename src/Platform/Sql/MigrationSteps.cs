using System.Data;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using FluentMigrator.Runner.Generators.MySql;
using FluentMigrator.Runner.Initialization;
using FluentMigrator.Runner.Processors;
using FluentMigrator.Runner.Processors.MySql;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using MySqlConnector;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>
/// Runs migrations on MySQL, where each statement that changes the schema commits by itself: a node that dies in the middle leaves a part of a migration, and the next start goes on behind that part.
/// </summary>
/// <remarks>
/// Each statement is written down in <c>migration_steps</c> before it runs, and again when it is done; with the version's row, which says that the whole migration is, all of them go. What a start finds there is the
/// part that is done already. Of the one statement that was begun and not done nobody knows: it runs, and may find its work done. Only then: a table that was there before Sluice came stops the migration, as ever.
/// A statement that changes rows and its line are one transaction.
/// </remarks>
internal sealed partial class MigrationSteps(
    MySqlDbFactory factory, MySql8Generator generator, ILogger<MySql8Processor> logger, IOptionsSnapshot<ProcessorOptions> options, IConnectionStringAccessor connectionString)
    : MySql8Processor(factory, generator, logger, options, connectionString)
{
    private const string VersionRow = "INSERT INTO `VersionInfo`";

    // A table, a column, an index that exists; a table, a column or an index to be dropped that does not.
    private static readonly HashSet<MySqlErrorCode> WorkIsDone =
        [MySqlErrorCode.TableExists, MySqlErrorCode.DuplicateFieldName, MySqlErrorCode.DuplicateKeyName, MySqlErrorCode.BadTable, MySqlErrorCode.CannotDropFieldOrKey];

    // How often each statement came in this migration: one that comes twice is two steps.
    private readonly Dictionary<string, int> times = new(StringComparer.Ordinal);
    private Dictionary<string, bool>? found;

    // What a migration writes as SQL comes here.
    public override void Execute(string template, params object[] args) => Process(args.Length == 0 ? template : string.Format(CultureInfo.InvariantCulture, template, args));

    protected override void Process(string sql)
    {
        if (string.IsNullOrWhiteSpace(sql))
        {
            return;
        }

        EnsureConnectionIsOpen();
        if (sql.StartsWith(VersionRow, StringComparison.Ordinal))
        {
            FaultPoints.Reach("migration.step");
            base.Process($"START TRANSACTION; {sql.TrimEnd().TrimEnd(';')}; DELETE FROM migration_steps; COMMIT");
            times.Clear();
            found?.Clear();
            return;
        }

        found ??= Find();
        var time = times[sql] = times.GetValueOrDefault(sql) + 1;
        var step = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{time}: {sql}")));
        var wasBegun = found.TryGetValue(step, out var isDone);
        if (!isDone)
        {
            Run(sql, step, wasBegun);
        }
    }

    private void Run(string sql, string step, bool wasBegun)
    {
        // The statement commits this line, if it commits by itself.
        base.Process($"START TRANSACTION; INSERT INTO migration_steps (step, done) VALUES ('{step}', 0) ON DUPLICATE KEY UPDATE done = 0");
        FaultPoints.Reach("migration.step");
        try
        {
            base.Process(sql);
        }
        catch (Exception e) when (wasBegun && CauseOf(e) is { } cause && WorkIsDone.Contains(cause.ErrorCode))
        {
            LogGoesOn(Logger, cause.Message);
        }
        catch (Exception e) when (CauseOf(e) is not null)
        {
            // It was refused, so it is not begun: should it be refused again because something is there, that is not ours. (If the server is gone, this fails too, and the line stays.)
            base.Process($"ROLLBACK; DELETE FROM migration_steps WHERE step = '{step}'");
            throw;
        }

        FaultPoints.Reach("migration.step");
        base.Process($"UPDATE migration_steps SET done = 1 WHERE step = '{step}'; COMMIT");
        FaultPoints.Reach("migration.step");
    }

    private Dictionary<string, bool> Find()
    {
        base.Process("CREATE TABLE IF NOT EXISTS migration_steps (step CHAR(64) NOT NULL PRIMARY KEY, done INT NOT NULL) ENGINE = INNODB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin");
        var steps = Read("SELECT step, done FROM migration_steps").Tables[0].Rows;
        return steps.Cast<DataRow>().ToDictionary(row => (string)row[0], row => Convert.ToInt64(row[1], null) == 1, StringComparer.Ordinal);
    }

    private static MySqlException? CauseOf(Exception? e) => e is null ? null : e as MySqlException ?? CauseOf(e.InnerException);

    [LoggerMessage(Level = LogLevel.Warning, Message = "A migration that was broken off goes on: {Says}")]
    private static partial void LogGoesOn(ILogger log, string says);
}
