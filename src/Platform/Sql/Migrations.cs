using System.Data.Common;
using System.Reflection;
using Dapper;
using FluentMigrator;
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
    public static void Run(Database database, params Assembly[] assemblies) => Run(database, StepsOf(assemblies));

    /// <inheritdoc cref="Run(Database, Assembly[])"/>
    /// <param name="steps">The migrations of everything that has tables in this database. One that was left out before runs when it is asked for, whatever ran since.</param>
    /// <param name="tags">Of the steps with a tag, only those with one of these run.</param>
    public static void Run(Database database, IReadOnlyList<Type> steps, params string[] tags)
    {
        var engine = database.Engine;
        try
        {
            engine.Prepare();
            using var turn = engine.TakeMigrationTurn();
            using var services = new ServiceCollection()
                .AddFluentMigratorCore()
                .ConfigureRunner(engine.AddRunner)
                .AddSingleton<IMigrationSourceItem>(new Steps(steps))
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

    /// <summary>Every migration of these assemblies.</summary>
    internal static IReadOnlyList<Type> StepsOf(params Assembly[] assemblies) => [.. assemblies.SelectMany(assembly => assembly.GetExportedTypes()).Where(type => type.IsDefined(typeof(MigrationAttribute), inherit: false))];

    /// <summary>Looks whether every one of these migrations has run, in a database that is brought up to date by others.</summary>
    /// <param name="by">Who does it.</param>
    /// <exception cref="DependencyUnavailableException">One has not, or it cannot be seen.</exception>
    public static async Task DemandAsync(Database database, IReadOnlyList<Type> steps, string by)
    {
        var engine = database.Engine;
        engine.Prepare();
        var wanted = steps.Where(step => !step.IsDefined(typeof(TagsAttribute), inherit: false)).Select(step => step.GetCustomAttribute<MigrationAttribute>()!.Version);
        var done = await database.ReadAsync(async connection => await connection.ExecuteScalarAsync<long>(engine.TableQuery, new { table = "VersionInfo" }) > 0
            ? (await connection.QueryAsync<long>("SELECT Version FROM VersionInfo")).AsList()
            : []);
        if (wanted.Except(done).Any())
        {
            throw new DependencyUnavailableException("sql", $"{engine.Describe} has not all tables yet, or its user may not read VersionInfo there: start a node first that runs {by}.");
        }
    }

    // The runner puts the engine's exception into one of its own, which carries the whole statement.
    private static DbException? InnermostOf(Exception? e) => e is null ? null : InnermostOf(e.InnerException) ?? e as DbException;

    private sealed class Steps(IReadOnlyList<Type> types) : IMigrationSourceItem
    {
        public IEnumerable<Type> MigrationTypeCandidates => types;
    }
}
