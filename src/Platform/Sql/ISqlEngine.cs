using System.Data.Common;
using FluentMigrator.Runner;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>What a failed statement says about its transaction, and about trying again.</summary>
internal enum SqlFailure
{
    /// <summary>Not the engine's: the statement, or the code around it, is wrong.</summary>
    None,

    /// <summary>The engine took the transaction back, and says so: a deadlock, a lock not had in time. Also when it is the commit that says it.</summary>
    TakenBack,

    /// <summary>The engine went away, or refuses to work now. Before the commit nothing is kept; a commit that fails so may have been done.</summary>
    Away,

    /// <summary>The engine cannot go on without a person: the disk is full, the password is wrong.</summary>
    Stuck,

    /// <summary>A unique key is taken. Between a look and a write of one transaction another may have committed; a second look sees it.</summary>
    Duplicate,
}

/// <summary>What database engines do each in its own way, besides <see cref="Dialect"/>, <see cref="SqlList"/> and <see cref="BatchInsert"/>. All else is the same for every one.</summary>
internal interface ISqlEngine : IDisposable
{
    /// <summary>Name, version and place, for people. Known once <see cref="Prepare"/> has run. Never a password.</summary>
    string Describe { get; }

    /// <summary>How many transactions may write at once.</summary>
    int WritersMax { get; }

    Task<DbConnection> OpenAsync(bool writes);

    /// <summary>Begins a transaction that writes, or one that reads everything from one snapshot.</summary>
    Task<DbTransaction> BeginAsync(DbConnection connection, bool writes);

    SqlFailure FailureOf(Exception e);

    /// <summary>What happened, in words for the operator.</summary>
    string Says(Exception e);

    /// <summary>Connects for the first time, and checks that the engine keeps what it is told.</summary>
    /// <exception cref="DependencyUnavailableException">It does not, or it is not there.</exception>
    void Prepare();

    /// <summary>Keeps other nodes from migrating until it is disposed of.</summary>
    IDisposable TakeMigrationTurn();

    /// <summary>Counts the tables of this database that are called <c>@table</c> and that its user may see: 0 or 1.</summary>
    string TableQuery { get; }

    void AddRunner(IMigrationRunnerBuilder runner);

    /// <summary>After the migrations, in the same turn.</summary>
    void Finish();
}
