using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Site;

namespace Sluice.Modules.Catalog;

/// <summary>Products, categories, search: what a shop shows, to everybody alike.</summary>
public sealed class CatalogModule : IModule
{
    /// <summary>The key of the database that the tables are in. Without it, a service is that of the main one.</summary>
    internal const string Key = "Catalog";

    public string Name => Key;

    public IReadOnlyList<string> Needs => [];

    public IReadOnlyDictionary<string, Type> Options { get; } = new Dictionary<string, Type>(StringComparer.Ordinal) { ["Catalog"] = typeof(CatalogOptions) };

    public IReadOnlyList<string> TablesApart => ["products", "categories", "product_categories", "product_words", "catalog_version"];

    public void AddServices(IServiceCollection services)
    {
        services.AddSingleton<ProductChanges>();
        services.AddSingleton<Categories>();
        services.AddSingleton<GetProducts>();
        services.AddSingleton<Contracts.ProductsNow>();
        services.AddSingleton<Contracts.Products>();
        services.AddSingleton<CatalogPages>();
        services.AddSingleton<GetPages>();
        services.AddSingleton<ISitePart, CatalogSite>();
    }

    public void MapEndpoints(IEndpointRouteBuilder routes)
    {
        PutProduct.Map(routes);
        GetProducts.Map(routes);
        Categories.Map(routes);
        GetPages.Map(routes);
    }

    public void AddWorkers(IServiceCollection services)
    {
    }
}

public sealed class CatalogOptions
{
    /// <summary>Hosts that pictures may come from besides this site, by https: <c>img.example.com</c>. At most 20. Visitors' browsers will ask them.</summary>
    [HostNames] public IReadOnlyList<string> ImageHosts { get; init; } = [];
}

/// <summary>At most twenty names of hosts.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class HostNamesAttribute() : ValidationAttribute("at most twenty names of hosts, such as img.example.com")
{
    public override bool IsValid(object? value) => value is IReadOnlyList<string> { Count: <= 20 } hosts &&
        hosts.All(host => host.Length <= 253 && Uri.TryCreate($"https://{host}", UriKind.Absolute, out var uri) && uri.Authority.Equals(host, StringComparison.OrdinalIgnoreCase) && host.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or ':'));
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.Strict, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, AllowDuplicateProperties = false)]
[JsonSerializable(typeof(ProductRequest))]
[JsonSerializable(typeof(ProductView))]
[JsonSerializable(typeof(Page<ProductView>))]
[JsonSerializable(typeof(ProductDetails))]
[JsonSerializable(typeof(CategoryRequest))]
[JsonSerializable(typeof(CategoryView))]
[JsonSerializable(typeof(CategoryList))]
[JsonSerializable(typeof(ImportRequest))]
[JsonSerializable(typeof(ImportResult))]
internal sealed partial class CatalogJson : JsonSerializerContext;
