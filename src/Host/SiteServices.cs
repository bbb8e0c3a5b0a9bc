using Sluice.Operations.Publishing;
using Sluice.Platform.Site;

namespace Sluice.Host;

/// <summary>Puts together what is published: the storefront's own files and the parts of the modules, and the places they go to.</summary>
internal static class SiteServices
{
    public static void AddSite(this IServiceCollection services, PublishOptions options)
    {
        if (StorefrontFiles.Load(options.SiteUrl) is not { } files)
        {
            return;
        }

        services.AddSingleton(files);
        services.AddSingleton<ISitePart>(files);
        services.AddSingleton(files.Look);
        services.AddSingleton(files.Pages);
        services.AddSingleton<Site>();
        services.AddSingleton<EdgePurge>();
        if (options.Folder.Length > 0)
        {
            services.AddSingleton<ISiteTarget>(provider => new FolderTarget(options.Folder, provider.GetRequiredService<TimeProvider>()));
        }

        if (options.Bucket.Length > 0)
        {
            services.AddSingleton<ISiteTarget>(provider => new BucketTarget(options, provider.GetRequiredService<TimeProvider>()));
        }
    }
}
