using System.Data.Common;
using System.Reflection;
using FluentMigrator.Runner;
using FluentMigrator.Runner.Initialization;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>Brings the schema up to date. Each module brings its own migrations; a version is <c>module × 1000 + step</c> and never changes once released.</summary>
public static class Migrations
{
    /// <summary>The tag of migrations that are for shards only; those without a tag are for every database.</summary>
    public const string OfShard = "shard";

    /// <summary>Connects, checks the engine, and runs every migration that has not run. Safe to run on two nodes at once: the second waits for its turn.</summary>
    /// <exception cref="DependencyUnavailableException">The database cannot be opened or written, or does not keep what it is told.</exception>
    public static void Run(Database database, params Assembly[] assemblies) => Run(database, tags: [], assemblies);

    /// <inheritdoc cref="Run(Database, Assembly[])"/>
    /// <param name="tags">What is tagged with one of these runs too.</param>
    internal static void Run(Database database, string[] tags, Assembly[] assemblies)
    {
        var engine = database.Engine;
        try
        {
            engine.Prepare();
            using var turn = engine.TakeMigrationTurn();
            using var services = new ServiceCollection()
                .AddFluentMigratorCore()
                .ConfigureRunner(runner =>
                {
                    engine.AddRunner(runner);
                    runner.ScanIn(assemblies).For.Migrations();
                })
                .Configure<RunnerOptions>(runner => runner.Tags = tags)
                .BuildServiceProvider(validateScopes: true);
            using var scope = services.CreateScope();
            scope.ServiceProvider.GetRequiredService<IMigrationRunner>().MigrateUp();
            engine.Finish();
        }
        catch (Exception e) when (e is not DependencyUnavailableException && InnermostOf(e) is { } cause)
        {
            throw new DependencyUnavailableException("sql", $"cannot prepare {engine.Describe}: {engine.Says(cause)}", e);
        }
    }

    // The runner puts the engine's exception into one of its own, which carries the whole statement.
    private static DbException? InnermostOf(Exception? e) => e is null ? null : InnermostOf(e.InnerException) ?? e as DbException;
}
