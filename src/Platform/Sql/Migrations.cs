using System.Reflection;
using FluentMigrator.Runner;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>Brings the schema up to date. Each module brings its own migrations; a version is <c>module × 1000 + step</c> and never changes once released.</summary>
public static class Migrations
{
    /// <summary>Runs every migration that has not run. Safe to run on two nodes at once: the second waits for the database's lock.</summary>
    /// <exception cref="DependencyUnavailableException">The database cannot be opened or written.</exception>
    public static void Run(Database database, params Assembly[] assemblies)
    {
        try
        {
            using (var connection = new SqliteConnection(database.ConnectionString))
            {
                connection.Open();
                using var wal = connection.CreateCommand();
                wal.CommandText = "PRAGMA journal_mode=WAL";
                wal.ExecuteNonQuery();
            }

            // The file lock keeps two nodes that start together from running one migration twice.
            using var turn = TakeTurn(database.File + ".migrate");
            using var services = new ServiceCollection()
                .AddFluentMigratorCore()
                .ConfigureRunner(runner => runner.AddSQLite().WithGlobalConnectionString(database.ConnectionString).ScanIn(assemblies).For.Migrations())
                .BuildServiceProvider(validateScopes: true);
            using var scope = services.CreateScope();
            scope.ServiceProvider.GetRequiredService<IMigrationRunner>().MigrateUp();
        }
        catch (SqliteException e)
        {
            throw new DependencyUnavailableException("sql", $"cannot prepare {database.File}: {e.Message}", e);
        }
    }

    private static FileStream TakeTurn(string path)
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (tries < 200)
            {
                new ManualResetEventSlim().Wait(50);
            }
        }
    }
}
