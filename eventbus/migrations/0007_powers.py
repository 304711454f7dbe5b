from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('eventbus', '0006_archive'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='action',
            options={'permissions': [('see_payload', 'Can see what is in events and letters'), ('replay_event', 'Can have events and letters delivered again'), ('edit_payload', 'Can edit what a consumer is told'), ('discard_letter', 'Can discard letters'), ('archive_event', 'Can archive and restore events')]},
        ),
    ]
