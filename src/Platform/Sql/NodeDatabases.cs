using System.Reflection;
using Dapper;
using FluentMigrator;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Sql;

/// <summary>Every database has the table that this step makes: it takes part in transactions of all modules.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class InEveryDatabaseAttribute : Attribute;

/// <summary>
/// The databases that a node opens: the main one, and those of modules that have one of their own. A node is at home in a database when a module that it runs has its tables there: there it brings the schema up to date and
/// tells the caches what changed. Any other it only reads (or, of the main one, keeps the keys of tokens in), and a user with few rights is enough.
/// </summary>
public sealed class NodeDatabases : IDisposable
{
    private readonly List<Place> places;

    /// <param name="runs">Modules that this node runs.</param>
    /// <param name="needs">Modules whose services it has, those that it runs among them.</param>
    /// <param name="own">The settings of each module that may have a database of its own, by its name.</param>
    public NodeDatabases(SqlOptions main, string dataFolder, IReadOnlyCollection<IModule> runs, IReadOnlyCollection<IModule> needs, IReadOnlyDictionary<string, ModuleSqlOptions> own)
    {
        var apart = needs.Where(module => own.TryGetValue(module.Name, out var options) && options.IsOwn).ToList();
        Main = new Database(main, dataFolder);
        places = [new Place("", Main, runs.Except(apart).Any(), [.. StepsOf(typeof(Database).Assembly, null), .. needs.Except(apart).SelectMany(StepsOf)], [], StartsEmpty: true)];
        places.AddRange(apart.Select(module => new Place(
            module.Name, new Database(own[module.Name].Over(main), dataFolder, $"sql of {module.Name}", rests: true), runs.Contains(module),
            [.. StepsOf(typeof(Database).Assembly, null).Where(step => step.IsDefined(typeof(InEveryDatabaseAttribute), inherit: false)), .. StepsOf(module)], module.TablesApart, own[module.Name].StartEmpty)));
    }

    /// <summary>Of pools, claims, orders, the keys of tokens, and of every module that has none of its own.</summary>
    public Database Main { get; }

    /// <summary>For people; never a password.</summary>
    public string Describe => string.Join("; ", places.Select(place => place.Module.Length == 0 ? place.Database.Describe : $"{place.Module}: {place.Database.Describe}"));

    /// <summary>Those in which this node is at home.</summary>
    public IReadOnlyList<Database> Homes => [.. places.Where(place => place.IsHome).Select(place => place.Database)];

    /// <summary>This node has pools, orders, or another module whose tables are in the main database.</summary>
    public bool IsHomeInMain => places[0].IsHome;

    /// <summary>Where a module's tables are.</summary>
    public Database Of(string module) => places.Find(place => place.Module == module)?.Database ?? Main;

    /// <summary>Brings every database up to date in which this node is at home, and looks whether the others are.</summary>
    /// <exception cref="DependencyUnavailableException">One cannot be opened or written, does not keep what it is told, or has not the tables; or a module would begin with empty tables although the main database has its rows.</exception>
    public async Task PrepareAsync()
    {
        // Those first in which it is at home: of two nodes that wait for each other's tables, one finds them at its second start at the latest.
        foreach (var place in places.OrderByDescending(place => place.IsHome))
        {
            if (place.IsHome)
            {
                Migrations.Run(place.Database, place.Steps);
            }
            else
            {
                await Migrations.DemandAsync(place.Database, place.Steps, place.Module.Length == 0 ? "the modules that have their tables there" : place.Module);
            }
        }

        foreach (var place in places.Where(place => place.IsHome && !place.StartsEmpty))
        {
            await RefuseToForgetAsync(place);
        }
    }

    /// <summary>Which databases do not answer now.</summary>
    /// <returns>Those without which this node is of no use, and those of modules beside whom the others go on.</returns>
    public async Task<(IReadOnlyList<string> Missing, IReadOnlyList<string> Beside)> LookAsync()
    {
        var away = (await Task.WhenAll(places.Select(async place => await IsThereAsync(place.Database) ? null : place))).OfType<Place>().ToList();

        // The main database decides where this node is at home in it: pools and orders are there. A node of modules that have their own is of use while one of these is there.
        List<Place> decide = places[0].IsHome ? [places[0]] : [.. places.Where(place => place.IsHome)];
        var missing = decide.TrueForAll(away.Contains) ? decide : [];
        return ([.. missing.Select(place => place.Name)], [.. away.Except(missing).Select(place => place.Name)]);
    }

    public void Dispose() => places.ForEach(place => place.Database.Dispose());

    private async Task RefuseToForgetAsync(Place place)
    {
        var forgotten = new List<string>();
        foreach (var table in place.Tables)
        {
            if (!await HasRowsAsync(place.Database, table) && await HasRowsAsync(Main, table))
            {
                forgotten.Add(table);
            }
        }

        if (forgotten.Count > 0)
        {
            throw new DependencyUnavailableException(
                "sql",
                $"{place.Module}:Sql names {place.Database.Describe}, where {string.Join(", ", forgotten)} is empty; the main database has rows of it. Stop every node and copy the rows of all of {string.Join(", ", place.Tables)} " +
                $"(the tables are there already; docs/services.md says how), then start again. To begin with empty tables: {place.Module}:Sql:StartEmpty=true.");
        }
    }

    private static async Task<bool> HasRowsAsync(Database database, string table) => await database.ReadAsync(async connection =>
        await connection.ExecuteScalarAsync<long>(database.Engine.TableQuery, new { table }) > 0 && await connection.ExecuteScalarAsync<long>($"SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 1) some") > 0);

    private static async Task<bool> IsThereAsync(Database database)
    {
        try
        {
            await database.ReadAsync(connection => connection.ExecuteScalarAsync<long>("SELECT 1"));
            return true;
        }
        catch (DependencyUnavailableException)
        {
            return false;
        }
    }

    private static IEnumerable<Type> StepsOf(IModule module) => StepsOf(module.GetType().Assembly, module.GetType().Namespace);

    // A module's steps are in its folder, and so in its namespace.
    private static IEnumerable<Type> StepsOf(Assembly assembly, string? inside) => 
        Migrations.StepsOf(assembly).Where(type => inside is null || type.Namespace!.StartsWith($"{inside}.", StringComparison.Ordinal));

    /// <param name="Module">"" for the main database.</param>
    /// <param name="Tables">Of the module, to be looked at before it begins with empty ones.</param>
    private sealed record Place(string Module, Database Database, bool IsHome, IReadOnlyList<Type> Steps, IReadOnlyList<string> Tables, bool StartsEmpty)
    {
        public string Name => Module.Length == 0 ? "sql" : $"sql of {Module}";
    }
}
