using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Sluice.Platform.Hosting;

/// <summary>One business module: what the host asks of it, and the only file of it that the host knows.</summary>
public interface IModule
{
    /// <summary>The name used in the setting <c>Modules</c>.</summary>
    string Name { get; }

    /// <summary>Names of the modules whose services this one uses. A node that runs this one has those services too, though not their routes and jobs.</summary>
    IReadOnlyList<string> Needs { get; }

    /// <summary>Options classes of the module, by section name. Unknown keys in these sections stop the start.</summary>
    IReadOnlyDictionary<string, Type> Options { get; }

    /// <summary>Tables of a module that may have a database of its own (section <c>Name:Sql</c> of the settings). None: its rows are in transactions with those of pools and orders, and stay in the main database.</summary>
    IReadOnlyList<string> TablesApart { get; }

    /// <summary>Services that every role needs.</summary>
    void AddServices(IServiceCollection services);

    /// <summary>The kinds of pools to which it gives a meaning. Only on nodes that run the module: what is claimed of them is written and audited there.</summary>
    void AddPoolKinds(IServiceCollection services)
    {
    }

    /// <summary>Routes; called on nodes with the role <c>api</c>.</summary>
    void MapEndpoints(IEndpointRouteBuilder routes);

    /// <summary>Background jobs; called on nodes with the role <c>worker</c>.</summary>
    void AddWorkers(IServiceCollection services);
}
